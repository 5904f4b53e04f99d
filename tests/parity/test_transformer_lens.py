"""Our hook points and logits against TransformerLens' HookedTransformer, which computes them by code of its own.

Its weights are copied from a tiny random Hugging Face model by its own conversions, unprocessed.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens.loading_from_pretrained import convert_hf_model_config
from transformer_lens.pretrained import weight_conversions as conversions

from app.engine.hook_points import parse_hook_point
from app.engine.language_model import LanguageModel
from app.engine.logits import feature_logits
from app.errors import Invalid
from tests.engine.families import make_family

TOLERANCE = 1e-4
IDS = torch.tensor([[0, 30, 31, 32, 33, 34, 35, 36], [0, 40, 41, 42, 43, 44, 45, 46]])
MASK = torch.ones_like(IDS)
CONVERSIONS: dict[str, Any] = {
    "gpt2": conversions.convert_gpt2_weights,
    "gpt_neox": conversions.convert_neox_weights,
    "gpt_neox in series": conversions.convert_neox_weights,
    "llama": conversions.convert_llama_weights,
    "mistral": conversions.convert_mistral_weights,
    "qwen2": conversions.convert_qwen2_weights,
    "qwen3": conversions.convert_qwen3_weights,
    "gemma2": conversions.convert_gemma_weights,
    "gemma3": conversions.convert_gemma_weights,
}
UNPROCESSED = dict.fromkeys(("fold_ln", "center_writing_weights", "center_unembed", "fold_value_biases"), False)
SITES = (
    *("hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_attn_out", "hook_mlp_out"),
    *("attn.hook_z", "mlp.hook_post", "ln1.hook_normalized", "ln2.hook_normalized"),
    *("ln1_post.hook_normalized", "ln2_post.hook_normalized"),
)


def lens_config(ours: LanguageModel, folder: Path) -> HookedTransformerConfig:
    """TransformerLens' own reading of the config; of Gemma it has only tables by name, so that is written out."""
    config = ours.model.config
    if not ours.name.startswith("gemma"):
        config.n_ctx = config.max_position_embeddings  # published GPT-2 configs have it
        config.architectures = [type(ours.model).__name__]
        config.save_pretrained(folder)
        told = convert_hf_model_config(str(folder))
        return HookedTransformerConfig.from_dict(
            {**told, "original_architecture": config.architectures[0], "tokenizer_name": None}
        )
    told = {
        "d_model": config.hidden_size,
        "d_head": config.head_dim,
        "n_heads": config.num_attention_heads,
        "d_mlp": config.intermediate_size,
        "n_layers": config.num_hidden_layers,
        "n_ctx": config.max_position_embeddings,
        "eps": config.rms_norm_eps,
        "d_vocab": config.vocab_size,
        "act_fn": "gelu_pytorch_tanh",
        "normalization_type": "RMS",
        "positional_embedding_type": "rotary",
        "rotary_dim": config.head_dim,
        "n_key_value_heads": config.num_key_value_heads,
        "use_attn_scale": True,
        "attn_scale": config.query_pre_attn_scalar**0.5,
        "use_local_attn": True,
        "window_size": config.sliding_window,
        "attn_types": ["local" if kind == "sliding_attention" else "global" for kind in config.layer_types],
        "gated_mlp": True,
        "final_rms": True,
        "use_normalization_before_and_after": True,
        "original_architecture": type(ours.model).__name__,
    }
    if ours.name == "gemma2":
        told |= {"attn_scores_soft_cap": config.attn_logit_softcapping}
        told |= {"output_logits_soft_cap": config.final_logit_softcapping, "rotary_base": 10000.0}
    else:
        told |= {"use_qk_norm": True, "rotary_base": 1_000_000, "rotary_base_local": 10_000}
    return HookedTransformerConfig.from_dict(told)


@pytest.fixture(scope="module", params=CONVERSIONS)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[LanguageModel, Any]:
    ours = make_family(request.param)
    config = lens_config(ours, tmp_path_factory.mktemp("config"))
    config.device = "cpu"
    theirs = HookedTransformer(config, move_to_device=False)
    theirs.load_and_process_state_dict(CONVERSIONS[request.param](ours.model, config), **UNPROCESSED)
    return ours, theirs.eval()


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs.reshape(ours.shape), rtol=TOLERANCE, atol=TOLERANCE)


@torch.no_grad()
def test_every_hook_point_has_the_same_activations(both: tuple[LanguageModel, Any]) -> None:
    ours, theirs = both
    _, cache = theirs.run_with_cache(IDS, prepend_bos=False)
    compared = 0
    for layer in range(ours.n_layers):
        for site in SITES:
            name = f"blocks.{layer}.{site}"
            try:
                found = ours.capture(IDS, MASK, parse_hook_point(name))
            except Invalid:
                assert name not in cache, f"{name} is in TransformerLens and refused here"
                continue
            close(found, cache[name])
            compared += 1
    assert compared >= 8 * ours.n_layers


@torch.no_grad()
def test_logits_are_the_same(both: tuple[LanguageModel, Any]) -> None:
    ours, theirs = both
    close(ours.logits(IDS, MASK), theirs(IDS, prepend_bos=False))


@torch.no_grad()
def test_promoted_tokens_are_those_of_folded_weights(both: tuple[LanguageModel, Any]) -> None:
    """What fold_ln folds into W_U, TransformerLens' own way: W_U then reads the centred direction."""
    ours, theirs = both
    directions = torch.randn(5, ours.d_model, generator=torch.Generator().manual_seed(0))
    folded = HookedTransformer(theirs.cfg, move_to_device=False)
    folded.load_and_process_state_dict(dict(theirs.state_dict()), **(UNPROCESSED | {"fold_ln": True}))
    close(feature_logits(ours, directions), directions @ folded.W_U)


def test_the_version_is_the_one_that_the_document_names() -> None:
    document = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    assert f"transformer-lens {version('transformer-lens')}" in document
