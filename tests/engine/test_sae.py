"""SAELens files, opened and run."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from app.engine.nonlinearities import AbsTopK, JumpRelu, Nonlinearity, Relu, TopK, gated
from app.engine.sae import load_sae
from app.errors import Invalid
from tests.tiny import D_MODEL, HOOK, N_FEATURES, Tiny, make_sae


def test_a_jumprelu_encodes_as_its_formula(tiny: Tiny) -> None:
    sae = load_sae(tiny.sae)
    weights = load_file(tiny.sae / "sae_weights.safetensors")
    x = torch.randn(7, D_MODEL, generator=torch.Generator().manual_seed(3))
    before = x @ weights["W_enc"] + weights["b_enc"]
    expected = before * (before > weights["threshold"])
    assert torch.allclose(sae.encode(x), expected, atol=1e-5)
    assert torch.allclose(sae.reconstruct(x), expected @ weights["W_dec"] + weights["b_dec"], atol=1e-5)
    assert (sae.d_in, sae.n_features, sae.hook_point) == (D_MODEL, N_FEATURES, HOOK)


@pytest.mark.parametrize(
    "nonlinearity",
    [
        Relu(),
        JumpRelu(torch.linspace(-1, 1, N_FEATURES)),
        TopK(3),
        AbsTopK(4),
        gated(*(torch.linspace(-start, start, N_FEATURES) for start in (1.0, 0.5, 0.1))),
    ],
    ids=lambda nonlinearity: type(nonlinearity).__name__,
)
def test_some_features_alone_are_encoded_as_among_all(tiny: Tiny, nonlinearity: Nonlinearity) -> None:
    sae = replace(load_sae(tiny.sae), nonlinearity=nonlinearity)
    x = torch.randn(7, D_MODEL, generator=torch.Generator().manual_seed(3))
    among_all = sae.encode(x)
    firing = among_all.abs().sum(0).argsort()[-5:]
    for features in (firing, firing[:1], torch.tensor([0, 0])):
        torch.testing.assert_close(sae.encoder_of(features)(x), among_all[:, features])


def test_a_standard_sae_subtracts_the_decoder_bias_when_told(tmp_path: Path) -> None:
    make_sae(tmp_path, architecture="standard", apply_b_dec_to_input=True)
    weights = load_file(tmp_path / "sae_weights.safetensors")
    del weights["threshold"]
    save_file(weights, tmp_path / "sae_weights.safetensors")
    x = torch.randn(5, D_MODEL, generator=torch.Generator().manual_seed(3))
    expected = torch.relu((x - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"])
    assert torch.allclose(load_sae(tmp_path).encode(x), expected, atol=1e-5)


def broken(tmp_path: Path, change: Any) -> Path:
    make_sae(tmp_path)
    change(tmp_path)
    return tmp_path


def _without(name: str) -> Any:
    def change(folder: Path) -> None:
        weights = load_file(folder / "sae_weights.safetensors")
        del weights[name]
        save_file(weights, folder / "sae_weights.safetensors")

    return change


def _config(**changed: object) -> Any:
    def change(folder: Path) -> None:
        config = json.loads((folder / "cfg.json").read_text()) | changed
        (folder / "cfg.json").write_text(json.dumps(config))

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda folder: (folder / "cfg.json").unlink(), "cfg.json"),
        (lambda folder: (folder / "sae_weights.safetensors").unlink(), "sae_weights.safetensors"),
        (lambda folder: (folder / "cfg.json").write_text("{"), "cfg.json"),
        (lambda folder: (folder / "sae_weights.safetensors").write_bytes(b"x" * 64), "sae_weights.safetensors"),
        (_without("W_dec"), "W_dec"),
        (_config(architecture="holographic"), "holographic"),
        (_config(d_in=99), "99"),
    ],
)
def test_a_damaged_sae_is_refused_with_what_is_wrong(tmp_path: Path, change: Any, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        load_sae(broken(tmp_path, change))
