"""SAELens (6.x and the flat configs before): cfg.json and sae_weights.safetensors."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.engine.sae import Sae
from app.errors import Invalid

CONFIG = "cfg.json"
WEIGHTS = "sae_weights.safetensors"
ARCHITECTURES = ("standard", "gated", "jumprelu", "topk", "batchtopk", "transcoder", "jumprelu_transcoder")
NORMALISATIONS = ("none", "expected_average_only_in", "constant_norm_rescale", "layer_norm")


def load(folder: Path, device: str, dtype: torch.dtype) -> Sae:
    """Raises Invalid naming the file, and the tensor or the key that is wrong."""
    config = _read_config(folder / CONFIG)
    metadata: Mapping[str, Any] = config.get("metadata") or config
    activation = config.get("activation_fn_str") or config.get("activation_fn") or "relu"
    k = config.get("k") or (config.get("activation_fn_kwargs") or {}).get("k")
    architecture = config.get("architecture", "standard")
    if architecture == "standard" and activation in ("topk", "top_k"):
        architecture = "topk"
    if architecture not in ARCHITECTURES:
        raise Invalid(
            f"{folder / CONFIG}: the architecture {architecture!r} is not read here; {_one_of(ARCHITECTURES)}."
        )
    normalisation = config.get("normalize_activations", "none")
    # Before 4.0 this was a boolean; True meant what is called expected_average_only_in since, folded when saved.
    normalisation = "none" if normalisation in (True, False, None) else normalisation
    if normalisation not in NORMALISATIONS:
        raise Invalid(f"{folder / CONFIG}: normalize_activations {normalisation!r}; {_one_of(NORMALISATIONS)}.")
    hook = metadata.get("hook_name") or metadata.get("hook_point")
    tensors = _read_tensors(folder / WEIGHTS, device, dtype)
    take = _Taker(folder / WEIGHTS, tensors)
    decoder = take("W_dec", None, None)
    n_features, d_out = decoder.shape
    encoder = take("W_enc", None, n_features)
    if encoder.shape[0] != d_out:
        raise Invalid(f"{folder / WEIGHTS}: W_enc reads {encoder.shape[0]} numbers and W_dec writes {d_out}.")
    for key, actual in (("d_in", encoder.shape[0]), ("d_sae", n_features)):
        if key in config and int(config[key]) != actual:
            raise Invalid(f"{folder}: {CONFIG} says {key} = {config[key]}, but the weights have {actual}.")
    gated = architecture == "gated"
    top_k = architecture in ("topk",) or (architecture == "batchtopk" and "threshold" not in tensors)
    jump = "jumprelu" in architecture or "threshold" in tensors
    if top_k and not k:
        raise Invalid(f"{folder / CONFIG}: a top-k SAE needs `k`.")
    transcoder = "transcoder" in architecture
    return Sae(
        architecture=architecture,
        encoder=encoder.contiguous(),
        decoder=decoder.contiguous(),
        encoder_bias=take("b_mag" if gated else "b_enc", n_features),
        decoder_bias=take("b_dec", d_out),
        activation="gated" if gated else "topk" if top_k else "jumprelu" if jump else "relu",
        threshold=take("threshold", n_features) if jump and not top_k else None,
        k=int(k) if top_k and k else None,
        gate_bias=take("b_gate", n_features) if gated else None,
        magnitude_scale=take("r_mag", n_features).exp() if gated else None,
        centre_input=not transcoder and bool(config.get("apply_b_dec_to_input", "metadata" not in config)),
        normalisation=normalisation if normalisation in ("constant_norm_rescale", "layer_norm") else "none",
        rescale_by_decoder_norm=top_k and bool(config.get("rescale_acts_by_decoder_norm", False)),
        hook_point=hook,
        model_name=metadata.get("model_name"),
        prepend_bos=metadata.get("prepend_bos"),
        context=metadata.get("context_size"),
    )


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"{path} is not JSON: {error}.") from error
    if not isinstance(config, dict):
        raise Invalid(f"{path} holds no JSON object.")
    return config


def _read_tensors(path: Path, device: str, dtype: torch.dtype) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path, device=device)
    except (SafetensorError, OSError) as error:
        raise Invalid(f"{path} cannot be read as safetensors ({error}); is it cut off?") from error
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise Invalid(f"{path}: {name} holds NaN or infinity; the weights are damaged.")
    return {name: tensor.to(dtype) for name, tensor in tensors.items()}


class _Taker:
    """Tensors by name, each with the shape it must have (None: any length)."""

    def __init__(self, path: Path, tensors: Mapping[str, Tensor]) -> None:
        self.path = path
        self.tensors = tensors

    def __call__(self, name: str, *shape: int | None) -> Tensor:
        if name not in self.tensors:
            raise Invalid(f"{self.path} has no tensor {name}; it holds {', '.join(sorted(self.tensors))}.")
        tensor = self.tensors[name]
        if tensor.ndim != len(shape) or any(n not in (None, m) for n, m in zip(shape, tensor.shape, strict=True)):
            wanted = " x ".join("any" if n is None else str(n) for n in shape)
            raise Invalid(f"{self.path}: {name} has shape {tuple(tensor.shape)}, not {wanted}.")
        return tensor


def _one_of(names: tuple[str, ...]) -> str:
    return "it takes " + ", ".join(names)
