"""Every family's hook points and logits against what transformers computes of the same tiny model."""

from typing import Any

import pytest
import torch
from torch import Tensor

from app.engine.families import find_family
from app.engine.hook_points import HookPoint, parse_hook_point
from app.engine.language_model import LanguageModel
from app.engine.logits import feature_logits
from app.errors import Invalid
from tests.engine.families import CONFIGS, ENCODERS, PARALLEL, make_family

IDS = torch.tensor([[0, 30, 31, 32, 33, 34], [0, 40, 41, 42, 1, 1]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
SEEN = MASK.bool()


QUICK = ("gpt2", "gpt_neox", "llama", "gemma2", "bert")


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in CONFIGS]
)
def model(request: pytest.FixtureRequest) -> LanguageModel:
    return make_family(request.param)


def at(model: LanguageModel, name: str) -> Tensor:
    return model.capture(IDS, MASK, parse_hook_point(name))[SEEN]


def refusal(model: LanguageModel, name: str) -> str:
    with pytest.raises(Invalid) as refused:
        model.check_hook(parse_hook_point(name))
    return str(refused.value)


def test_the_stream_between_blocks_is_transformers_own(model: LanguageModel) -> None:
    states = model.model(IDS, attention_mask=MASK, output_hidden_states=True).hidden_states
    for layer in range(3):
        assert torch.allclose(at(model, f"blocks.{layer}.hook_resid_pre"), states[layer][SEEN], atol=1e-5)
    assert torch.allclose(at(model, "blocks.1.hook_resid_post"), states[2][SEEN], atol=1e-5)


def test_after_a_block_is_before_the_next(model: LanguageModel) -> None:
    assert torch.equal(at(model, "blocks.0.hook_resid_post"), at(model, "blocks.1.hook_resid_pre"))


def test_what_attention_and_mlp_add_makes_the_block(model: LanguageModel) -> None:
    before, attention, mlp, after = (
        at(model, f"blocks.1.hook_{site}") for site in ("resid_pre", "attn_out", "mlp_out", "resid_post")
    )
    if model.name in ENCODERS or model.name == "opt with a projection":  # a norm stands after each addition
        assert (
            torch.allclose(at(model, "blocks.1.hook_resid_mid"), before + attention, atol=1e-5) or "opt" in model.name
        )
        return
    assert torch.allclose(before + attention + mlp, after, atol=1e-4)


def test_between_attention_and_mlp_or_why_there_is_nothing(model: LanguageModel) -> None:
    if model.name in PARALLEL:
        assert "same stream" in refusal(model, "blocks.1.hook_resid_mid")
    elif model.name != "opt with a projection":
        middle = at(model, "blocks.1.hook_resid_mid")
        assert torch.allclose(
            middle, at(model, "blocks.1.hook_resid_pre") + at(model, "blocks.1.hook_attn_out"), atol=1e-5
        )


@pytest.mark.parametrize("site", ["attn.hook_z", "mlp.hook_post"])
def test_heads_and_neurons_write_what_their_projection_makes_of_them(model: LanguageModel, site: str) -> None:
    name = f"blocks.1.{site}"
    if model.name == "mixtral" and site == "mlp.hook_post":
        assert "experts" in refusal(model, name)
        return
    hook = parse_hook_point(name)
    read = at(model, name)
    assert read.shape[1] == model.width(hook)
    family = model.family
    if family.ln1_post is not None:
        # The post-norm divides by what depends on the text: its input is compared.
        projection: Any = model.blocks[1].get_submodule(
            str(family.attention_projection if "z" in site else family.mlp_projection)
        )
        written = at(model, f"{family.blocks}.1.{'self_attn' if 'z' in site else 'mlp'}")
        assert torch.allclose(read @ projection.weight.T, written, atol=1e-4)
        return
    zero = model.to_stream(hook, torch.zeros(1, read.shape[1]))
    to_stream = model.to_stream(hook, read)
    assert zero is not None
    assert to_stream is not None
    bias = at(model, f"blocks.1.hook_{'attn' if 'z' in site else 'mlp'}_out") - to_stream
    assert torch.allclose(bias, bias[:1].expand_as(bias), atol=1e-4)


def test_what_the_mlp_reads_is_its_norms_output(model: LanguageModel) -> None:
    """TransformerLens' mlp.hook_in; where parallel blocks share one norm, and where there is none, its input itself."""
    norm = model.family.ln2 or model.family.ln1
    read = at(model, "blocks.1.mlp.hook_in")
    if model.name in ENCODERS or model.name == "opt with a projection":  # its norm stands before
        norm = "attention.output.LayerNorm" if model.name in ENCODERS else "self_attn_layer_norm"
    given = at(model, "blocks.1.hook_resid_mid" if norm is None else f"{model.family.blocks}.1.{norm}")
    assert torch.allclose(read, given, atol=1e-5)


@pytest.mark.parametrize("norm", ["ln1", "ln2", "ln1_post", "ln2_post"])
def test_a_normalised_input_is_what_its_norm_scales(model: LanguageModel, norm: str) -> None:
    name = f"blocks.1.{norm}.hook_normalized"
    module_name = getattr(model.family, norm)
    if module_name is None:
        assert "norm" in refusal(model, name)
        return
    module: Any = model.blocks[1].get_submodule(module_name)
    scaled = at(model, name) * (module.weight + 1 if model.family.norm_adds_one else module.weight)
    scaled = scaled + module.bias if getattr(module, "bias", None) is not None else scaled
    assert torch.allclose(scaled, at(model, f"{model.family.blocks}.1.{module_name}"), atol=1e-4)


def test_replacing_a_hook_by_itself_changes_nothing_and_by_another_does(model: LanguageModel) -> None:
    if model.name in ENCODERS:
        with pytest.raises(Invalid, match="encoder"):
            model.logits(IDS, MASK)
        return
    plain = model.logits(IDS, MASK)
    for name in (
        "blocks.1.hook_attn_out",
        "blocks.1.ln1.hook_normalized",
        "blocks.1.attn.hook_z",
        "blocks.1.hook_mlp_out",
    ):
        if "ln1" in name and model.family.ln1 is None:
            continue
        hook = parse_hook_point(name)
        same = model.logits(IDS, MASK, hook, lambda x: x.clone())
        other = model.logits(IDS, MASK, hook, lambda x: x + 1 + torch.arange(x.shape[-1]) / 7)
        assert torch.allclose(plain, same, atol=1e-4)
        assert not torch.allclose(plain, other, atol=1e-3)


def test_promoted_and_suppressed_tokens_are_the_gradients(model: LanguageModel) -> None:
    """Finite differences of the model's own logits, where the stream is moved along a direction after the last block.

    At a stream without a part along the direction the final norm's denominator does not change to first order, so the
    slope is W_U (scale * direction) / its deviation exactly. Soft-capping is undone: it bends each logit by itself.
    """
    if model.name in ENCODERS:
        with pytest.raises(Invalid, match="encoder"):
            feature_logits(model, torch.ones(1, 32))
        return
    if model.name != "mixtral":  # torch has no float64 for experts
        model.model.double()
    draw = torch.Generator().manual_seed(2)
    directions = torch.randn(4, 32, generator=draw, dtype=torch.float64)
    parts = model.unembedding()
    cap = getattr(model.model.config, "final_logit_softcapping", None)
    last = HookPoint(2, "resid_post")
    for direction in directions:
        x = torch.randn(32, generator=draw, dtype=torch.float64)
        moved = direction - direction.mean() if parts.centred else direction
        x = x - moved * (x @ moved) / (moved @ moved)
        deviation = x.std(unbiased=False) if parts.centred else x.square().mean().sqrt()
        deviation = deviation if model.family.final_norm is not None else torch.ones(())

        def logits_at(stream: Tensor) -> Tensor:
            found = model.logits(IDS, MASK, last, lambda old: stream.to(old.dtype).expand_as(old))[0, 2].double()
            return found if cap is None else torch.atanh(found / cap) * cap

        slope = (logits_at(x + 5e-3 * direction) - logits_at(x - 5e-3 * direction)) / 1e-2 * deviation
        expected = feature_logits(model, direction[None].float())[0].to(slope.dtype)
        assert torch.allclose(slope, expected, atol=1e-3, rtol=2e-3)
        assert torch.equal(slope.topk(5).indices, expected.topk(5).indices)
        assert torch.equal((-slope).topk(5).indices, (-expected).topk(5).indices)
    model.model.float()


def test_a_module_path_that_is_a_site_is_named_as_the_site() -> None:
    model = make_family("llama")
    for path, name in {
        "model.layers.1": "blocks.1.hook_resid_post",
        "layers.1": "blocks.1.hook_resid_post",
        "model.layers.1:input": "blocks.1.hook_resid_pre",
        "model.layers.2.self_attn": "blocks.2.hook_attn_out",
        "model.layers.2.self_attn.o_proj:input": "blocks.2.attn.hook_z",
        "model.layers.2.mlp.down_proj:input": "blocks.2.mlp.hook_post",
        "model.layers.2.mlp.up_proj": "model.layers.2.mlp.up_proj",
    }.items():
        assert str(model.sites.named(parse_hook_point(path))) == name
        assert torch.equal(at(model, path), at(model, name))
    assert "no module model.layers.7" in refusal(model, "model.layers.7")
    assert "down_proj" in refusal(model, "model.layers.1.mlp.upproj") or "self_attn" in refusal(
        model, "model.layers.1.x"
    )


def test_an_output_after_a_post_norm_is_not_its_modules_own() -> None:
    model = make_family("gemma2")
    assert str(model.sites.named(parse_hook_point("model.layers.1.mlp"))) == "model.layers.1.mlp"
    assert not torch.allclose(at(model, "model.layers.1.mlp"), at(model, "blocks.1.hook_mlp_out"))


def test_several_hooks_from_one_forward_are_those_of_one_each() -> None:
    model = make_family("gpt2")
    hooks = [parse_hook_point(name) for name in ("blocks.2.hook_mlp_out", "blocks.0.ln2.hook_normalized")]
    both = model.capture_each(IDS, MASK, hooks)
    assert all(torch.equal(found, model.capture(IDS, MASK, hook)) for found, hook in zip(both, hooks, strict=True))


def test_an_unknown_architecture_is_refused_with_how_to_name_its_parts() -> None:
    model = make_family("llama")
    config = model.model.config
    config.model_type = "novel"
    with pytest.raises(Invalid, match=r"--parts blocks=model\.layers .*self_attn \(LlamaAttention\).*model\.norm"):
        find_family(model.model, config)
    named = find_family(model.model, config, ["blocks=model.layers", "final_norm=model.norm", "attention=self_attn"])
    novel = LanguageModel("novel", model.model, None, named)
    assert torch.equal(at(novel, "blocks.1.hook_attn_out"), at(model, "blocks.1.hook_attn_out"))
    assert "--parts mlp=" in refusal(novel, "blocks.1.hook_mlp_out")
    with pytest.raises(Invalid, match="no such module; it has self_attn"):
        find_family(model.model, config, ["blocks=model.layers", "mlp=ffn"])
    with pytest.raises(Invalid, match="names no part"):
        find_family(model.model, config, ["layers=model.layers"])
