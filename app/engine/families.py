"""Where each architecture keeps its parts: a table of the known ones, and `--parts` for the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from torch import nn

from app.errors import Invalid


@dataclass(frozen=True)
class Family:
    """Dotted module names: blocks, final_norm and final_projection below the model, the others below a block.

    `a|b`: whichever the model has. None: it has no such part, so the sites read there are refused.
    """

    blocks: str
    # The module whose output the attention (the MLP) adds to the stream: after a post-norm where there is one.
    attention: str | None = None
    mlp: str | None = None
    # The module whose input is the stream between attention and MLP; None where both read the same stream.
    middle: str | None = None
    # What reads the stream for the MLP, through its norm.
    mlp_input: str | None = None
    # The projections back to the stream's width: what they read is hook_z, and mlp.hook_post.
    attention_projection: str | None = None
    mlp_projection: str | None = None
    # The norms that attention and MLP read through, and those that their outputs go through (Gemma 2, OLMo 2).
    ln1: str | None = None
    ln2: str | None = None
    ln1_post: str | None = None
    ln2_post: str | None = None
    final_norm: str | None = None
    # OPT-350m reads its logits through one more projection.
    final_projection: str | None = None
    # Gemma's RMSNorm multiplies by 1 + weight.
    norm_adds_one: bool = False
    # Keys of the config; where one of them is true, attention and MLP read the same stream.
    parallel: tuple[str, ...] = ()
    encoder: bool = False


_LLAMA = Family(
    blocks="model.layers",
    attention="self_attn",
    mlp="mlp",
    middle="post_attention_layernorm",
    mlp_input="mlp",
    attention_projection="self_attn.o_proj",
    mlp_projection="mlp.down_proj",
    ln1="input_layernorm",
    ln2="post_attention_layernorm",
    final_norm="model.norm",
)
_GEMMA_2 = replace(
    _LLAMA,
    attention="post_attention_layernorm",
    mlp="post_feedforward_layernorm",
    middle="pre_feedforward_layernorm",
    ln2="pre_feedforward_layernorm",
    ln1_post="post_attention_layernorm",
    ln2_post="post_feedforward_layernorm",
    norm_adds_one=True,
)
_OLMO_2 = replace(
    _LLAMA,
    attention="post_attention_layernorm",
    mlp="post_feedforward_layernorm",
    middle="mlp",
    ln1=None,
    ln2=None,
    ln1_post="post_attention_layernorm",
    ln2_post="post_feedforward_layernorm",
)
_MIXTURE = replace(_LLAMA, mlp_projection=None)  # each token goes through experts of its own
_GPT_2 = Family(
    blocks="transformer.h",
    attention="attn",
    mlp="mlp",
    middle="ln_2",
    mlp_input="mlp",
    attention_projection="attn.c_proj",
    mlp_projection="mlp.c_proj",
    ln1="ln_1",
    ln2="ln_2",
    final_norm="transformer.ln_f",
)
# Bloom and Falcon add the stream inside the attention and the MLP; what is added is what their projections give.
_BLOOM = Family(
    blocks="transformer.h",
    attention="self_attention.dense",
    mlp="mlp.dense_4h_to_h",
    middle="post_attention_layernorm",
    mlp_input="mlp",
    attention_projection="self_attention.dense",
    mlp_projection="mlp.dense_4h_to_h",
    ln1="input_layernorm",
    ln2="post_attention_layernorm",
    final_norm="transformer.ln_f",
)
_BERT = Family(
    blocks="encoder.layer",
    attention="attention.output.dense",
    mlp="output.dense",
    middle="attention.output.LayerNorm",
    mlp_input="intermediate",
    attention_projection="attention.output.dense",
    mlp_projection="output.dense",
    ln1="attention.output.LayerNorm",
    ln2="output.LayerNorm",
    encoder=True,
)
FAMILIES: Mapping[str, Family] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "phi3": _LLAMA,
    "mixtral": _MIXTURE,
    "qwen2_moe": _MIXTURE,
    "qwen3_moe": _MIXTURE,
    "gemma": replace(_LLAMA, norm_adds_one=True),
    "gemma2": _GEMMA_2,
    "gemma3_text": _GEMMA_2,
    "gemma3": replace(_GEMMA_2, blocks="model.language_model.layers", final_norm="model.language_model.norm"),
    "olmo2": _OLMO_2,
    "stablelm": replace(
        _LLAMA,
        middle="post_attention_layernorm|",
        ln2="post_attention_layernorm|",
        parallel=("use_parallel_residual",),
    ),
    "phi": replace(
        _LLAMA,
        attention_projection="self_attn.dense",
        mlp_projection="mlp.fc2",
        middle=None,
        ln2=None,
        final_norm="model.final_layernorm",
    ),
    "gpt2": _GPT_2,
    "gpt_neo": replace(_GPT_2, attention_projection="attn.attention.out_proj"),
    "gptj": replace(_GPT_2, attention_projection="attn.out_proj", mlp_projection="mlp.fc_out", middle=None, ln2=None),
    "gpt_neox": Family(
        blocks="gpt_neox.layers",
        attention="attention",
        mlp="mlp",
        middle="post_attention_layernorm",
        mlp_input="mlp",
        attention_projection="attention.dense",
        mlp_projection="mlp.dense_4h_to_h",
        ln1="input_layernorm",
        ln2="post_attention_layernorm",
        final_norm="gpt_neox.final_layer_norm",
        parallel=("use_parallel_residual",),
    ),
    "opt": Family(
        blocks="model.decoder.layers",
        attention="self_attn",
        mlp="fc2",
        middle="final_layer_norm",
        mlp_input="fc1",
        attention_projection="self_attn.out_proj",
        mlp_projection="fc2",
        ln1="self_attn_layer_norm",
        ln2="final_layer_norm",
        final_norm="model.decoder.final_layer_norm|",
        final_projection="model.decoder.project_out|",
    ),
    "bloom": _BLOOM,
    "falcon": replace(
        _BLOOM,
        ln1="input_layernorm|ln_attn",
        ln2="post_attention_layernorm|ln_mlp|",
        middle="post_attention_layernorm|",
        parallel=("parallel_attn", "new_decoder_architecture"),
    ),
    "bert": _BERT,
    "roberta": _BERT,
}
PARTS = tuple(part.name for part in fields(Family) if part.name not in ("norm_adds_one", "parallel", "encoder"))


def find_family(model: Any, config: Any, given: Sequence[str] = ()) -> Family:
    """The parts of a loaded (or meta-device) model. given: `blocks=...` and so on, which win over the table.

    Raises Invalid for an architecture that neither knows, showing how to name its parts.
    """
    family = FAMILIES.get(config.model_type)
    named = _read_parts(given)
    if family is None and "blocks" not in named:
        raise Invalid(_how_to_name(model, config.model_type))
    family = replace(family, **named) if family is not None else Family(**named)
    family = _present(model, family)
    if any(getattr(config, key, False) for key in family.parallel):
        family = replace(family, middle=None)
    return family


def _read_parts(given: Sequence[str]) -> dict[str, Any]:
    """`attention=attn` as {"attention": "attn"}; `none` for a part that is not there."""
    parts: dict[str, Any] = {}
    for item in given:
        name, equals, path = item.partition("=")
        if name == "norm_adds_one" and path in ("yes", "no"):
            parts[name] = path == "yes"
        elif name in PARTS and equals and path:
            parts[name] = None if path == "none" and name != "blocks" else path
        else:
            raise Invalid(
                f"--parts {item!r} names no part: it takes NAME=MODULE with NAME one of {', '.join(PARTS)}, "
                "or norm_adds_one=yes."
            )
    return parts


def _present(model: Any, family: Family) -> Family:
    """The family with each `a|b` decided. Raises Invalid for a part that the model does not have."""
    below: dict[bool, Any] = {True: model, False: None}
    decided: dict[str, Any] = {}
    for name in PARTS:
        named = getattr(family, name)
        if named is None:
            continue
        above = name in ("blocks", "final_norm", "final_projection")
        choices = named.split("|")
        found = next((choice for choice in choices if choice and _has(below[above], choice)), None)
        if found is None and "" not in choices:
            where = "the model" if above else f"a block ({type(below[False]).__name__})"
            modules = ", ".join(child for child, _ in below[above].named_children())
            raise Invalid(f"The part {name} is to be {named!r}, and {where} has no such module; it has {modules}.")
        decided[name] = found
        if name == "blocks":
            blocks = model.get_submodule(found)
            if not isinstance(blocks, nn.ModuleList) or not len(blocks):
                raise Invalid(f"The part blocks is to be {found!r}, which is no list of blocks.")
            below[False] = blocks[0]
    return replace(family, **decided)


def _has(module: nn.Module, name: str) -> bool:
    try:
        return module.get_submodule(name) is not None
    except AttributeError:
        return False


def _how_to_name(model: Any, model_type: str) -> str:
    """What the error says of an unknown architecture: its lists of blocks and what a block holds, as a command line."""
    lists = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.ModuleList) and len(m)]
    known = ", ".join(sorted(FAMILIES))
    if not lists:
        return f"A {model_type} model keeps no list of blocks, so it cannot be read; known are {known}."
    name, blocks = max(lists, key=lambda found: len(found[1]))
    children = ", ".join(f"{child} ({type(part).__name__})" for child, part in blocks[0].named_children())
    above = name.rpartition(".")[0]
    beside = ", ".join(
        f"{above}.{child}".lstrip(".") for child, _ in model.get_submodule(above).named_children() if above or child
    )
    return (
        f"{model_type} is no architecture whose parts are known here ({known}). Name them: "
        f"--parts blocks={name} final_norm=... attention=... mlp=... middle=... (the parts of one block: {children}; "
        f"beside the blocks: {beside}). For the stream between blocks, blocks is enough; final_norm is for logits, "
        f"{', '.join(PARTS[1:10])} for their hook points."
    )
