"""`featurescope inspect`: what it says of an SAE, and how plain tensors are described with it."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from app.__main__ import main
from app.engine.sae import load_sae
from tests.engine.formats import layouts
from tests.engine.formats.layouts import draw, top_k

Output = pytest.CaptureFixture[str]


def said(capsys: Output) -> dict[str, str]:
    """The lines of the table by their first words."""
    lines = capsys.readouterr().out.splitlines()
    return {line[:18].strip(): line[19:] for line in lines if not line.startswith("note")}


def test_it_says_what_was_found(tmp_path: Path, capsys: Output) -> None:
    drawn = draw()
    layouts.write_saelens(tmp_path, drawn, {"threshold": drawn.threshold}, architecture="jumprelu")
    assert main(["inspect", str(tmp_path)]) == 0
    found = said(capsys)
    assert (found["format"], found["architecture"], found["features"]) == ("SAELens", "jumprelu", "40")
    assert found["reads"] == "16 numbers a token at blocks.1.hook_resid_pre"
    assert (found["model"], found["dtype"].split(",")[0]) == ("gpt2", "float32")
    assert found["input"] == "normalisation none, not centred, BOS in front"
    norms = drawn.decoder.norm(dim=1)
    assert found["decoder norms"] == f"{norms.min():.3g} to {norms.max():.3g}, median {norms.median():.3g}"
    assert found["thresholds"].startswith(f"{drawn.threshold.min():.3g} to {drawn.threshold.max():.3g}")


def test_it_notes_what_looks_wrong(tmp_path: Path, capsys: Output) -> None:
    drawn = draw()
    dead = drawn.decoder.clone()
    dead[[3, 8]] = 0
    stated = {"normalize_activations": "expected_average_only_in", "metadata": {"model_name": "gpt2"}}
    layouts.write_saelens(tmp_path, drawn, {"W_dec": dead}, **stated)
    assert main(["inspect", str(tmp_path)]) == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    for told in ("2 of 40 features have a decoder row of zeros", "norm_scaling_factor", "give --hook to index"):
        assert any(told in note for note in notes)


def test_plain_tensors_are_described_once_and_read_by_every_command(tmp_path: Path, capsys: Output) -> None:
    drawn, file = draw(), tmp_path / "mine.safetensors"
    tensors = {"W_enc": drawn.encoder, "b_enc": drawn.b_enc, "W_dec": drawn.decoder, "b_dec": drawn.b_dec}
    save_file(tensors, file)
    assert main(["inspect", str(file)]) == 1
    assert "featurescope inspect" in capsys.readouterr().err
    flags = ["--activation", "topk", "--k", "4", "--centre-input", "yes", "--hook", "blocks.2.hook_mlp_out"]
    assert main(["inspect", str(file), *flags]) == 0
    assert not (tmp_path / "mine.safetensors.json").exists(), "said for this once"
    assert main(["inspect", str(file), *flags, "--write"]) == 0
    sae = load_sae(file)
    torch.testing.assert_close(sae.encode(drawn.x), top_k(drawn.p_centred, 4), rtol=1e-5, atol=1e-5)
    written = json.loads((tmp_path / "mine.safetensors.json").read_text())
    assert written == {
        "activation": "topk",
        "centre_input": True,
        "k": 4,
        "normalisation": "none",
        "hook_point": "blocks.2.hook_mlp_out",
    }


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--activation", "topk", "--centre-input", "no"], "topk needs k"),
        (["--activation", "gelu", "--centre-input", "no"], "activation is 'gelu'"),
        (["--k", "4"], "activation and centre_input"),
        (["--write"], "give --activation and --centre-input with it"),
    ],
)
def test_a_description_that_does_not_do_is_one_sentence(
    tmp_path: Path, capsys: Output, flags: list[str], says: str
) -> None:
    layouts.write_saelens(tmp_path, draw())
    assert main(["inspect", str(tmp_path), *flags]) == 1
    assert says in capsys.readouterr().err
    assert not list(tmp_path.glob("*.safetensors.json"))
