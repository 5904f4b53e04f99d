"""SAE files in the layouts that publishers use, made small and seeded; each writer gives back what it drew."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

D_IN, D_OUT, N = 16, 12, 40


@dataclass(frozen=True)
class Drawn:
    """encoder: (d_in, n), decoder: (n, d_out), and vectors; every entry differs from zero."""

    encoder: Tensor
    decoder: Tensor
    b_enc: Tensor
    b_dec: Tensor
    threshold: Tensor
    x: Tensor

    @property
    def p(self) -> Tensor:
        """Pre-activations of x as it is."""
        return self.x @ self.encoder + self.b_enc

    @property
    def p_centred(self) -> Tensor:
        return (self.x - self.b_dec) @ self.encoder + self.b_enc

    def decoded(self, features: Tensor) -> Tensor:
        return features @ self.decoder + self.b_dec


def draw(d_out: int = D_IN) -> Drawn:
    g = torch.Generator().manual_seed(4)

    def normal(*shape: int, spread: float = 1.0) -> Tensor:
        return torch.randn(*shape, generator=g) * spread

    return Drawn(
        encoder=normal(D_IN, N, spread=0.4),
        decoder=normal(N, d_out, spread=0.4),
        b_enc=normal(N, spread=0.5),
        b_dec=normal(d_out, spread=0.8),
        threshold=normal(N).abs() * 0.5 + 0.3,
        x=normal(30, D_IN) + 0.5,
    )


def top_k(p: Tensor, k: int) -> Tensor:
    """The k largest of each row, one row after another, negative ones as 0."""
    kept = torch.zeros_like(p)
    for row, values in enumerate(p):
        for place in values.argsort(descending=True)[:k]:
            kept[row, place] = max(float(values[place]), 0.0)
    return kept


def jump(p: Tensor, threshold: Tensor) -> Tensor:
    return torch.where((p > threshold) & (p > 0), p, 0.0)


def write_gemma_scope(folder: Path, drawn: Drawn) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        "W_enc": drawn.encoder,
        "W_dec": drawn.decoder,
        "b_enc": drawn.b_enc,
        "b_dec": drawn.b_dec,
        "threshold": drawn.threshold,
    }
    np.savez(folder / "params.npz", **{name: tensor.numpy() for name, tensor in arrays.items()})
    return folder


def write_gemma_scope_2(folder: Path, drawn: Drawn, skip: Tensor | None = None, **config: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        "w_enc": drawn.encoder,
        "w_dec": drawn.decoder,
        "b_enc": drawn.b_enc,
        "b_dec": drawn.b_dec,
        "threshold": drawn.threshold,
    }
    save_file(tensors | ({} if skip is None else {"affine_skip_connection": skip}), folder / "params.safetensors")
    stated = {
        "architecture": "jump_relu",
        "model_name": "gemma-v3-1b-pt",
        "hf_hook_point_in": "model.layers.7.output",
        "hf_hook_point_out": "model.layers.7.output",
        "width": N,
        "l0": 20,
        "affine_connection": skip is not None,
    }
    (folder / "config.json").write_text(json.dumps(stated | config))
    return folder


def write_openai(file: Path, drawn: Drawn, k: int | None) -> Path:
    state: dict[str, object] = {
        "pre_bias": drawn.b_dec,
        "latent_bias": drawn.b_enc,
        "encoder.weight": drawn.encoder.T.contiguous(),
        "decoder.weight": drawn.decoder.T.contiguous(),
        "stats_last_nonzero": torch.zeros(N, dtype=torch.long),
        "latents_activation_frequency": torch.ones(N),
        "latents_mean_square": torch.zeros(N),
    }
    if k is not None:
        state |= {"activation": "TopK", "activation_state_dict": {"k": k, "postact_fn": "ReLU"}}
    torch.save(state, file)
    return file


def linear_tensors(drawn: Drawn) -> dict[str, Tensor]:
    """As nn.Linear keeps them: (out, in)."""
    return {
        "encoder.weight": drawn.encoder.T.contiguous(),
        "encoder.bias": drawn.b_enc,
        "decoder.weight": drawn.decoder.T.contiguous(),
        "decoder.bias": drawn.b_dec,
    }


def write_llama_scope(folder: Path, drawn: Drawn, threshold: float, norm: float, **config: object) -> Path:
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    save_file(linear_tensors(drawn), folder / "checkpoints" / "final.safetensors")
    stated = {
        "d_model": D_IN,
        "d_sae": N,
        "hook_point_in": "blocks.5.hook_resid_post",
        "hook_point_out": "blocks.5.hook_resid_post",
        "jump_relu_threshold": threshold,
        "dataset_average_activation_norm": {"in": norm, "out": norm},
    }
    (folder / "hyperparams.json").write_text(json.dumps(stated | config))
    return folder


def write_llama_scope_distill(folder: Path, drawn: Drawn) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tensors = linear_tensors(drawn) | {"log_jumprelu_threshold": drawn.threshold.log()}
    save_file(tensors, folder / "sae_weights.safetensors")
    hook = "blocks.5.hook_resid_post"
    stated = {"d_model": D_IN, "expansion_factor": N / D_IN, "hook_point_in": hook, "hook_point_out": hook}
    (folder / "config.json").write_text(json.dumps(stated))
    return folder


def write_qwen_scope(file: Path, drawn: Drawn) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "W_enc": drawn.encoder.T.contiguous(),
        "W_dec": drawn.decoder.T.contiguous(),
        "b_enc": drawn.b_enc,
        "b_dec": drawn.b_dec,
    }
    torch.save(state, file)
    return file


def write_goodfire(file: Path, drawn: Drawn) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    named = {name.replace(".", "_linear."): tensor for name, tensor in linear_tensors(drawn).items()}
    torch.save(named, file)
    return file


def write_attention_output(file: Path, drawn: Drawn) -> Path:
    tensors = {"W_enc": drawn.encoder, "W_dec": drawn.decoder, "b_enc": drawn.b_enc, "b_dec": drawn.b_dec}
    torch.save(tensors, file)
    config = {"act_size": D_IN, "dict_size": N, "act_name": "blocks.5.attn.hook_z"}
    file.with_name(f"{file.stem}_cfg.json").write_text(json.dumps(config))
    return file


def write_saelens(folder: Path, drawn: Drawn, further: dict[str, Tensor] | None = None, **config: object) -> Path:
    """W_enc, b_enc, W_dec, b_dec and what else an architecture has; None in `further` leaves a tensor out."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {"W_enc": drawn.encoder, "b_enc": drawn.b_enc, "W_dec": drawn.decoder, "b_dec": drawn.b_dec}
    save_file(tensors | (further or {}), folder / "sae_weights.safetensors")
    stated = {
        "architecture": "standard",
        "d_in": D_IN,
        "d_sae": N,
        "dtype": "float32",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "metadata": {"hook_name": "blocks.1.hook_resid_pre", "model_name": "gpt2", "prepend_bos": True},
    }
    (folder / "cfg.json").write_text(json.dumps(stated | config))
    return folder


def write_sparsify(folder: Path, drawn: Drawn, k: int, **config: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        "encoder.weight": drawn.encoder.T.contiguous(),
        "encoder.bias": drawn.b_enc,
        "W_dec": drawn.decoder,
        "b_dec": drawn.b_dec,
    }
    skip = torch.full((D_IN, D_IN), 0.1) + torch.arange(D_IN) / 50
    save_file(tensors | ({"W_skip": skip} if config.get("skip_connection") else {}), folder / "sae.safetensors")
    stated = {"activation": "topk", "expansion_factor": 32, "num_latents": N, "k": k, "d_in": D_IN, "transcode": False}
    (folder / "cfg.json").write_text(json.dumps(stated | config))
    return folder


def write_dictionary_learning(folder: Path, kind: str, state: dict[str, Tensor], **trainer: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / "ae.pt")
    stated = {"dict_class": kind, "activation_dim": D_IN, "dict_size": N, "layer": 3, "lm_name": "pythia-70m"}
    (folder / "config.json").write_text(json.dumps({"trainer": stated | trainer, "buffer": {"ctx_len": 128}}))
    return folder


def write_circuit_tracer(file: Path, drawn: Drawn, skip: Tensor | None = None, **config: str) -> Path:
    """W_enc and W_dec both (n_features, width); the set's config.yaml where anything is said."""
    file.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        "W_enc": drawn.encoder.T.contiguous(),
        "W_dec": drawn.decoder,
        "b_enc": drawn.b_enc,
        "b_dec": drawn.b_dec,
    }
    save_file(tensors | ({} if skip is None else {"W_skip": skip}), file)
    if config:
        lines = [f"{key}: {json.dumps(value)}" for key, value in {"model_kind": "transcoder_set", **config}.items()]
        file.with_name("config.yaml").write_text("\n".join(lines))
    return file


def write_qresearch(file: Path, drawn: Drawn) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(linear_tensors(drawn), file)
    return file
