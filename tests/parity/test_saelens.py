"""SAEs made and saved by sae-lens, opened by it and by ours."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from sae_lens import (
    SAE,
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    GatedSAE,
    GatedSAEConfig,
    JumpReLUSAE,
    JumpReLUSAEConfig,
    JumpReLUSkipTranscoder,
    JumpReLUSkipTranscoderConfig,
    JumpReLUTranscoder,
    JumpReLUTranscoderConfig,
    MatchingPursuitSAE,
    MatchingPursuitSAEConfig,
    MatryoshkaBatchTopKTrainingSAE,
    MatryoshkaBatchTopKTrainingSAEConfig,
    SkipTranscoder,
    SkipTranscoderConfig,
    StandardSAE,
    StandardSAEConfig,
    TopKSAE,
    TopKSAEConfig,
    Transcoder,
    TranscoderConfig,
    __version__,
)
from sae_lens.saes.abstopk_sae import AbsTopKSAE, AbsTopKSAEConfig
from safetensors.torch import load_file, save_file

from tests.parity.conftest import Agree

LIBRARY = f"sae-lens {__version__}"
D_IN, D_SAE, D_OUT = 32, 96, 24
TRANSCODERS = {
    Transcoder: TranscoderConfig,
    SkipTranscoder: SkipTranscoderConfig,
    JumpReLUTranscoder: JumpReLUTranscoderConfig,
    JumpReLUSkipTranscoder: JumpReLUSkipTranscoderConfig,
}
SAES: list[tuple[Any, Any, dict[str, Any]]] = [
    (StandardSAE, StandardSAEConfig, {}),
    (GatedSAE, GatedSAEConfig, {}),
    (JumpReLUSAE, JumpReLUSAEConfig, {}),
    (TopKSAE, TopKSAEConfig, {"k": 7}),
    (TopKSAE, TopKSAEConfig, {"k": 7, "rescale_acts_by_decoder_norm": True}),
    (AbsTopKSAE, AbsTopKSAEConfig, {"k": 7}),
    (AbsTopKSAE, AbsTopKSAEConfig, {"k": 7, "rescale_acts_by_decoder_norm": True}),
]


def randomised(sae: Any) -> Any:
    """Every parameter drawn, so that no term of a formula is zero by the library's own start."""
    draw = torch.Generator().manual_seed(1)
    for name, parameter in sorted(sae.named_parameters()):
        spread = parameter.shape[0] ** -0.5 if name.startswith("W_enc") else 0.4
        parameter.data = torch.randn(parameter.shape, generator=draw) * spread
        if name == "threshold":
            parameter.data = parameter.data.abs() + 0.2
    return sae


def compare(agree: Agree, folder: Path, what: str, **given: Any) -> None:
    theirs = SAE.load_from_disk(folder)

    def decode(features: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        # Its decode undoes the scale that its last encode saw; its forward alone adds a skip connection.
        return theirs(x) if hasattr(theirs, "W_skip") else (theirs.encode(x), theirs.decode(features))[1]

    agree(folder, LIBRARY, theirs.encode, decode, what, **given)


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize(("kind", "config", "given"), SAES)
def test_each_architecture(
    tmp_path: Path, agree: Agree, kind: Any, config: Any, given: dict[str, Any], centred: bool
) -> None:
    sae = randomised(kind(config(d_in=D_IN, d_sae=D_SAE, apply_b_dec_to_input=centred, **given)))
    sae.save_model(tmp_path)
    rescaled = ", rescaled by decoder norms" if "rescale_acts_by_decoder_norm" in given else ""
    compare(agree, tmp_path, config.architecture() + rescaled)


@pytest.mark.parametrize("normalisation", ["expected_average_only_in", "constant_norm_rescale", "layer_norm"])
@pytest.mark.parametrize(("kind", "config", "given"), SAES[:4])
def test_each_normalisation(
    tmp_path: Path, agree: Agree, kind: Any, config: Any, given: dict[str, Any], normalisation: str
) -> None:
    randomised(kind(config(d_in=D_IN, d_sae=D_SAE, normalize_activations=normalisation, **given))).save_model(tmp_path)
    compare(agree, tmp_path, f"{config.architecture()}, {normalisation}")


@pytest.mark.parametrize("kind", list(TRANSCODERS))
def test_each_transcoder(tmp_path: Path, agree: Agree, kind: Any) -> None:
    config = TRANSCODERS[kind]
    sae = randomised(kind(config(d_in=D_IN, d_sae=D_SAE, d_out=D_OUT, apply_b_dec_to_input=False)))
    sae.save_model(tmp_path)
    compare(agree, tmp_path, config.architecture())


@pytest.mark.parametrize(
    ("kind", "config", "given"),
    [
        (BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig, {}),
        (MatryoshkaBatchTopKTrainingSAE, MatryoshkaBatchTopKTrainingSAEConfig, {"matryoshka_widths": [24, D_SAE]}),
    ],
)
@pytest.mark.parametrize("rescaled", [True, False])
def test_batch_top_k_as_saved_for_inference(
    tmp_path: Path, agree: Agree, kind: Any, config: Any, given: dict[str, Any], rescaled: bool
) -> None:
    sae = randomised(kind(config(d_in=D_IN, d_sae=D_SAE, k=7, rescale_acts_by_decoder_norm=rescaled, **given)))
    sae.topk_threshold = torch.tensor(0.7, dtype=torch.double)
    sae.save_inference_model(tmp_path)
    compare(agree, tmp_path, config.architecture())


@pytest.mark.parametrize("duplicates", [True, False])
@pytest.mark.parametrize("centred", [True, False])
def test_matching_pursuit(tmp_path: Path, agree: Agree, centred: bool, duplicates: bool) -> None:
    config = MatchingPursuitSAEConfig(
        d_in=D_IN,
        d_sae=D_SAE,
        residual_threshold=2.0,
        max_iterations=12,
        apply_b_dec_to_input=centred,
        stop_on_duplicate_support=duplicates,
    )
    sae = randomised(MatchingPursuitSAE(config))
    sae.W_dec.data /= sae.W_dec.data.norm(dim=1, keepdim=True)
    sae.save_model(tmp_path)
    compare(agree, tmp_path, "matching_pursuit")


def test_heads_of_hook_z_side_by_side(tmp_path: Path, agree: Agree) -> None:
    config = StandardSAEConfig(d_in=D_IN, d_sae=D_SAE, reshape_activations="hook_z")
    config.metadata.hook_name = "blocks.1.attn.hook_z"
    randomised(StandardSAE(config)).save_model(tmp_path)
    x = torch.randn(50, 4, D_IN // 4, generator=torch.Generator().manual_seed(2))
    compare(agree, tmp_path, "standard, hook_z", x=x)


def test_a_folded_scaling_factor(tmp_path: Path, agree: Agree) -> None:
    given = {"normalize_activations": "expected_average_only_in"}
    sae = randomised(JumpReLUSAE(JumpReLUSAEConfig(d_in=D_IN, d_sae=D_SAE, apply_b_dec_to_input=True, **given)))
    sae.save_model(tmp_path)
    sae.fold_activation_norm_scaling_factor(0.37)
    agree(
        tmp_path, LIBRARY, sae.encode, lambda features, _: sae.decode(features), "jumprelu, folded factor", scale=0.37
    )


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({}, "standard"),
        ({"hook_point": "blocks.1.attn.hook_z"}, "standard, hook_z"),
        ({"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 5}}, "topk"),
        ({"normalize_activations": True}, "standard, boolean normalisation"),
        ({"normalize_activations": "layer_norm"}, "standard, layer_norm"),
    ],
)
def test_configs_from_before_6(tmp_path: Path, agree: Agree, changed: dict[str, Any], what: str) -> None:
    randomised(StandardSAE(StandardSAEConfig(d_in=D_IN, d_sae=D_SAE))).save_model(tmp_path)
    weights = load_file(tmp_path / "sae_weights.safetensors")
    save_file(weights | {"scaling_factor": torch.ones(D_SAE)}, tmp_path / "sae_weights.safetensors")
    flat = {
        "model_name": "gpt2-small",
        "hook_point": "blocks.1.hook_resid_pre",
        "hook_point_layer": 1,
        "d_in": D_IN,
        "d_sae": D_SAE,
        "dtype": "float32",
        "context_size": 128,
        "finetuning_scaling_factor": False,
    }
    (tmp_path / "cfg.json").write_text(json.dumps(flat | changed))
    x = torch.randn(50, 4, D_IN // 4, generator=torch.Generator().manual_seed(2)) if "hook_z" in what else None
    compare(agree, tmp_path, f"{what} (config before 6.0)", x=x)
