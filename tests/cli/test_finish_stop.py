"""Builds and merges that are stopped after recording, in each step: the same command goes on to the same dictionary."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from app.__main__ import main
from tests.cli.stopping import run_until
from tests.cli.test_build_kill import is_published
from tests.dumps import same_rows
from tests.server import ROOT, environment
from tests.tiny import Tiny

pytestmark = pytest.mark.slow

# What is said at the beginning of each step, and last before the dictionary is there; and what is kept by then.
PLACES = {
    "Measuring quality:   0%": set(),
    "Reducing:   0%": {"QualitySums"},
    "Comparing:   0%": {"QualitySums", "ReducedBlock"},
    "Comparing: 100%": {"QualitySums", "ReducedBlock", "Directions", "Neighbors"},
}


@pytest.fixture(autouse=True)
def as_a_command(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ctrl-C is heard; a command's own handlers end with the test. Everything that is done is kept at once."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setenv("FEATURESCOPE_CHECKPOINT_SECONDS", "0")
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def build(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    corpus = tmp_path_factory.mktemp("corpus") / "some.txt"
    corpus.write_text("\n".join(f"{text} {n}" for n in range(12) for text in tiny.texts[:42]), encoding="utf-8")
    paths = ["--model", str(tiny.model), "--sae", str(tiny.sae), "--corpus", str(corpus)]
    return ["index", "tiny", *paths, "--context", "32", "--quality-tokens", "300", "--force"]


@pytest.fixture(scope="module")
def undisturbed(build: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("undisturbed") / "x.db"
    assert main([*build, "--db", str(path)]) == 0
    return path


def test_a_build_told_to_end_in_any_step_goes_on_from_there(
    build: list[str], undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*build, "--db", str(tmp_path / "x.db")]
    stop_everywhere(command, tmp_path / "x.db", "recording/checkpoints")
    assert main(command) == 0
    assert "Going on with the build" in capsys.readouterr().err
    assert same_rows(tmp_path / "x.db", undisturbed)
    assert not list((tmp_path / "x.db.builds").glob("*/*"))


def test_a_merge_killed_or_told_to_end_in_any_step_goes_on_from_there(
    build: list[str], undisturbed: Path, tmp_path: Path
) -> None:
    shards = [str(tmp_path / f"{n}.shard") for n in (1, 2)]
    for n, shard in enumerate(shards, 1):
        assert main([*build, "--db", str(tmp_path / "x.db"), "--shard", f"{n}/2", "--shard-file", shard]) == 0
    command = ["merge", "tiny", *shards, "--db", str(tmp_path / "x.db")]
    code = [sys.executable, "-m", "tests.cli.stopping", "SIGKILL", "Reducing:   0%", *command]
    killed = subprocess.run(code, cwd=ROOT, env=environment() | {"FEATURESCOPE_CHECKPOINT_SECONDS": "0"}, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert kinds(blocks(tmp_path, "merging")) >= PLACES["Reducing:   0%"]
    stop_everywhere(command, tmp_path / "x.db", "merging")
    assert main(command) == 0
    assert same_rows(tmp_path / "x.db", undisturbed)
    assert not list((tmp_path / "x.db.builds").glob("tiny/merging"))


def stop_everywhere(command: Sequence[str], database: Path, checkpoints: str) -> None:
    """Ctrl-C at each place, one run after another. What one has computed the next takes as it is."""
    kept = blocks(database.parent, checkpoints)
    for words, least in PLACES.items():
        status, said = run_until(words, signal.SIGINT, command)
        assert status == 130, said
        assert said.strip().splitlines()[-1].startswith("featurescope: interrupted; what was done is kept")
        assert "Traceback" not in said
        assert not is_published(database)
        before, kept = kept, blocks(database.parent, checkpoints)
        assert kinds(kept) >= least
        assert kept.items() >= before.items(), "computed anew"


def blocks(folder: Path, checkpoints: str) -> dict[Path, int]:
    """The blocks that are kept, with the time at which each was made."""
    return {file: file.stat().st_mtime_ns for file in folder.glob(f"x.db.builds/tiny/{checkpoints}/*/*.npz")}


def kinds(kept: dict[Path, int]) -> set[str]:
    return {file.parent.name for file in kept}
