"""What the parity tests share: a comparison that is kept, and the table of all of them at the end.

These run in an environment of their own, which has the libraries (`make parity`); `make test` leaves them out.
"""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from app.engine.sae import load_sae

# Before any of the libraries is imported: nothing here may reach for a network.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_CACHE"] = tempfile.mkdtemp(prefix="parity-hub-")
os.environ["WANDB_MODE"] = "disabled"
TOLERANCE = 1e-5
DOCUMENT = Path(__file__).parents[2] / "docs" / "formats.md"
BEGIN, END = "<!-- table of make parity: begin -->", "<!-- table of make parity: end -->"


@dataclass(frozen=True)
class Compared:
    """One row of the table."""

    format: str
    architecture: str
    reference: str

    def row(self) -> str:
        return f"| {self.format} | {self.architecture} | {self.reference} |"


_COMPARED = pytest.StashKey[list[Compared]]()
_CASES = pytest.StashKey[list[int]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_COMPARED] = []


Agree = Callable[..., None]


@pytest.fixture
def agree(request: pytest.FixtureRequest) -> Agree:
    """agree(path, reference, encode, decode, architecture): ours and theirs on the same activations, to 1e-5.

    encode: theirs, (n, d_in) -> (n, n_features); decode: theirs, from that and x to (n, d_out), x's scale undone.
    x: activations to compare on, where the default (64 draws with a mean of their own) does not do.
    scale: norm_scaling_factor, which the registry has and the file has not.
    """

    def compare(
        path: Path,
        reference: str,
        encode: Callable[[Tensor], Tensor],
        decode: Callable[[Tensor, Tensor], Tensor],
        architecture: str,
        x: Tensor | None = None,
        scale: float | None = None,
    ) -> None:
        ours = load_sae(path)
        if scale is not None:
            ours = ours.with_input_scale(scale)
        if x is None:
            draw = torch.Generator().manual_seed(5)
            x = torch.randn(64, ours.d_in, generator=draw) * 2 + torch.randn(ours.d_in, generator=draw)
        with torch.no_grad():
            theirs = encode(x)
            features = ours.encode(x)
            assert 0 < (theirs != 0).float().mean() < 0.9, "a comparison needs features that fire and that do not"
            torch.testing.assert_close(features, theirs, rtol=TOLERANCE, atol=TOLERANCE)
            made, expected = ours.decode(theirs, x), decode(theirs, x)
            torch.testing.assert_close(made.reshape(expected.shape), expected, rtol=TOLERANCE, atol=TOLERANCE)
        request.config.stash[_COMPARED].append(Compared(ours.format, architecture, reference))

    return compare


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    table = _table(config)
    if table:
        terminalreporter.section("formats x architectures x what they were compared with")
        for line in table:
            terminalreporter.write_line(line)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """The document must hold the very table, where everything was run."""
    asked_for_all = not session.config.option.keyword and [*map(str, session.config.args)] in (["tests/parity"], [])
    if exitstatus == 0 and asked_for_all and _documented() != _table(session.config):
        print(f"\n{DOCUMENT.name} holds another table than this run made: put the one below into it.")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _table(config: pytest.Config) -> list[str]:
    rows = list(dict.fromkeys(compared.row() for compared in config.stash[_COMPARED]))
    return ["| format | architecture | compared with |", "| --- | --- | --- |", *rows] if rows else []


def _documented() -> list[str]:
    text = DOCUMENT.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        return []
    return [line for line in text.split(BEGIN)[1].split(END)[0].splitlines() if line.strip()]
