"""Tiny random models of every family, made from their configs, with weights that let no part hide."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from app.engine.families import find_family
from app.engine.language_model import LanguageModel

SIZE: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 1,
}
# Gemma's heads together are wider than its stream.
WIDE_HEADS = SIZE | {"head_dim": 16}
FALCON = {key: value for key, value in SIZE.items() if key not in ("intermediate_size", "num_key_value_heads")}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("gpt2", {"vocab_size": 96, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64}),
    "gpt_neo": (
        "gpt_neo",
        {
            "vocab_size": 96,
            "hidden_size": 32,
            "num_layers": 3,
            "num_heads": 4,
            "attention_types": [[["global"], 3]],
            "max_position_embeddings": 64,
        },
    ),
    "gpt_neox": ("gpt_neox", SIZE),
    "gpt_neox in series": ("gpt_neox", SIZE | {"use_parallel_residual": False}),
    "gptj": ("gptj", {"vocab_size": 96, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64, "rotary_dim": 4}),
    "llama": ("llama", SIZE),
    "mistral": ("mistral", SIZE),
    "mixtral": ("mixtral", SIZE | {"num_local_experts": 4}),
    "qwen2": ("qwen2", SIZE),
    "qwen3": ("qwen3", SIZE | {"head_dim": 8}),
    "gemma": ("gemma", WIDE_HEADS),
    "gemma2": ("gemma2", WIDE_HEADS | {"final_logit_softcapping": 2.0, "query_pre_attn_scalar": 16}),
    "gemma3": ("gemma3_text", WIDE_HEADS | {"query_pre_attn_scalar": 16}),
    "phi": ("phi", SIZE),
    "phi3": ("phi3", SIZE),
    "opt": ("opt", SIZE | {"ffn_dim": 48, "word_embed_proj_dim": 32}),
    "opt with a projection": ("opt", SIZE | {"ffn_dim": 48, "word_embed_proj_dim": 16, "do_layer_norm_before": False}),
    "bloom": ("bloom", {"vocab_size": 96, "hidden_size": 32, "n_layer": 3, "n_head": 4, "seq_length": 64}),
    "falcon": ("falcon", FALCON | {"parallel_attn": True}),
    "falcon in series": ("falcon", FALCON | {"parallel_attn": False, "alibi": True}),
    "falcon 40b": ("falcon", FALCON | {"new_decoder_architecture": True, "num_kv_heads": 2}),
    "olmo2": ("olmo2", SIZE),
    "stablelm": ("stablelm", SIZE),
    "stablelm parallel": ("stablelm", SIZE | {"use_parallel_residual": True}),
    "bert": ("bert", SIZE),
    "roberta": ("roberta", SIZE | {"max_position_embeddings": 80}),
}
PARALLEL = ("gpt_neox", "gptj", "phi", "falcon", "falcon 40b", "stablelm parallel")
ENCODERS = ("bert", "roberta")


def make_family(name: str, **changed: Any) -> LanguageModel:
    """The family's tiny model in float32, with no tokenizer. changed: of its config."""
    kind, size = CONFIGS[name]
    config = AutoConfig.for_model(kind, **(size | changed))
    torch.manual_seed(0)
    model = (AutoModel if name in ENCODERS else AutoModelForCausalLM).from_config(config)
    disturb(model)
    return LanguageModel(name, model.eval().requires_grad_(False), None, find_family(model, config))


def disturb(model: torch.nn.Module) -> None:
    """Weights of a new model away from where they begin."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            # Norms' weights away from 1 (0 for Gemma) and biases away from 0, so that leaving one out shows.
            noise = torch.randn(parameter.shape, generator=draw)
            parameter.add_(noise * (0.3 if parameter.ndim == 1 else 0.15))
            if parameter_name.endswith("bias"):
                parameter.copy_(noise * 0.2)
    model.tie_weights()
