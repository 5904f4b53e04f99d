"""SAELens: cfg.json (6.x, and the flat ones from before) and sae_weights.safetensors. Checked against sae-lens 6.54."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from app.engine.formats.files import SaeFiles
from app.engine.formats.unsupported import TEMPORAL
from app.engine.nonlinearities import AbsTopK, JumpRelu, MatchingPursuit, Nonlinearity, Relu, TopK, gated
from app.engine.sae import NORMALISATIONS, Sae
from app.errors import Invalid

NAME = "SAELens"
CONFIG = "cfg.json"
ARCHITECTURES = (
    "standard",
    "gated",
    "jumprelu",
    "topk",
    "abstopk",
    "batchtopk",
    "matryoshka_batchtopk",
    "matching_pursuit",
    "transcoder",
    "skip_transcoder",
    "jumprelu_transcoder",
    "jumprelu_skip_transcoder",
)


def holds(files: SaeFiles) -> bool:
    config = files.settings(CONFIG)
    return "d_sae" in config and "encoder.weight" not in files.tensors


@dataclass(frozen=True)
class Config:
    """cfg.json in 6.x' terms."""

    settings: Mapping[str, Any]
    metadata: Mapping[str, Any]
    architecture: str
    normalisation: str
    k: int | None
    centred: bool

    @property
    def transcoder(self) -> bool:
        return "transcoder" in self.architecture


def load(files: SaeFiles) -> Sae:
    """Raises Invalid naming the file, and the tensor or the key that is wrong."""
    config = _config(files)
    decoder = files.take("W_dec", None, None)
    n_features, d_out = decoder.shape
    tied = config.architecture == "matching_pursuit"
    encoder = decoder.T if tied else files.take("W_enc", None, n_features)
    if not config.transcoder and encoder.shape[0] != d_out:
        raise Invalid(f"{files.weights}: W_enc reads {encoder.shape[0]} numbers and W_dec writes {d_out}.")
    files.agree(CONFIG, config.settings, d_in=encoder.shape[0], d_sae=n_features)
    if config.transcoder:
        files.agree(CONFIG, config.settings, d_out=d_out)
    decoder_bias = files.take("b_dec", d_out)
    if tied and not config.centred:
        decoder_bias = torch.zeros_like(decoder_bias)  # SAELens leaves it out on both ways
    metadata = config.metadata
    made = Sae(
        format=NAME,
        architecture=config.architecture,
        encoder=encoder,
        encoder_bias=_encoder_bias(files, config, n_features),
        decoder=decoder,
        decoder_bias=decoder_bias,
        nonlinearity=_nonlinearity(files, config, n_features),
        centre=decoder_bias if config.centred else None,
        skip=files.take("W_skip", d_out, encoder.shape[0]).T if "skip" in config.architecture else None,
        transcoder=config.transcoder,
        normalisation=config.normalisation,
        hook_point=metadata.get("hook_name") or metadata.get("hook_point"),
        hook_point_out=metadata.get("hook_name_out") if config.transcoder else None,
        model_name=metadata.get("model_name"),
        prepend_bos=metadata.get("prepend_bos"),
        context=metadata.get("context_size"),
        l0=float(config.k) if config.k is not None else None,
    )
    # Top-k then compares, and gives, pre-activations times the norm: the same as if the decoder had norm 1.
    return made.with_unit_decoder() if config.settings.get("rescale_acts_by_decoder_norm") and config.k else made


def _encoder_bias(files: SaeFiles, config: Config, n_features: int) -> Tensor:
    if config.architecture == "matching_pursuit":
        return torch.zeros(n_features)
    return files.take("b_gate" if config.architecture == "gated" else "b_enc", n_features)


def _nonlinearity(files: SaeFiles, config: Config, n_features: int) -> Nonlinearity:
    architecture, settings = config.architecture, config.settings
    if architecture == "gated":
        return gated(*(files.take(name, n_features) for name in ("b_gate", "b_mag", "r_mag")))
    if architecture == "matching_pursuit":
        return MatchingPursuit(
            residual_threshold=float(settings.get("residual_threshold", 1e-2)),
            max_iterations=int(settings.get("max_iterations") or files.tensors["W_dec"].shape[1]),
            stop_on_duplicate_support=bool(settings.get("stop_on_duplicate_support", True)),
        )
    if architecture in ("topk", "abstopk"):
        if config.k is None or not 1 <= config.k <= n_features:
            raise Invalid(f"{files.folder / CONFIG}: a top-k SAE needs `k` from 1 to {n_features}, not {config.k}.")
        return TopK(config.k) if architecture == "topk" else AbsTopK(config.k)
    if architecture in ("batchtopk", "matryoshka_batchtopk") or "jumprelu" in architecture:
        # Batch top-k SAEs are trained as such and saved with the threshold that gives k on average.
        return JumpRelu(files.take("threshold", n_features))
    if "threshold" in files.tensors:
        raise Invalid(f"{files.weights} holds a threshold, and {CONFIG} says {architecture}, which has none.")
    return Relu()


def _config(files: SaeFiles) -> Config:
    path = files.folder / CONFIG
    settings = files.settings(CONFIG)
    nested = settings.get("metadata")
    metadata = nested if isinstance(nested, dict) else settings
    flat = not isinstance(nested, dict)  # before 6.0
    architecture = settings.get("architecture", "standard")
    activation = settings.get("activation_fn_str") or settings.get("activation_fn") or "relu"
    k = settings.get("k")
    if flat and activation in ("topk", "top_k") and architecture == "standard":
        architecture = "topk"
        k = (settings.get("activation_fn_kwargs") or {}).get("k", k)
    elif activation not in ("relu", "topk", "top_k"):
        raise Invalid(f"{path}: the activation function {activation!r} is not known; SAELens 6 has relu and topk.")
    if architecture == "temporal":
        raise Invalid(f"{path}: {TEMPORAL}.")
    if architecture not in ARCHITECTURES:
        raise Invalid(f"{path}: the architecture {architecture!r} is not known; these are: {', '.join(ARCHITECTURES)}.")
    if metadata.get("hook_head_index") is not None:
        raise Invalid(
            f"{path}: this SAE reads head {metadata['hook_head_index']} of an attention layer alone "
            "(hook_head_index), and all heads are read here; none of the published releases does this today."
        )
    _refuse_finetuned(files, settings)
    transcoder = "transcoder" in architecture
    centred = bool(settings.get("apply_b_dec_to_input", True)) and not transcoder
    k = k if architecture in ("topk", "abstopk") else None
    return Config(settings, metadata, architecture, _normalisation(files, settings), k, centred)


def _normalisation(files: SaeFiles, settings: Mapping[str, Any]) -> str:
    stated = settings.get("normalize_activations") or "none"
    if stated is True:  # before 4.0
        stated = "expected_average_only_in"
    if stated == "covariance_whitening":
        raise Invalid(
            f"{files.folder / CONFIG}: the input is whitened (covariance_whitening), and the matrix is not in these "
            "files; SAELens' save_inference_model() writes one with it folded into the weights."
        )
    if stated not in NORMALISATIONS:
        raise Invalid(
            f"{files.folder / CONFIG}: normalize_activations {stated!r} is not known; "
            f"these are: {', '.join(NORMALISATIONS)}."
        )
    return str(stated)


def _refuse_finetuned(files: SaeFiles, settings: Mapping[str, Any]) -> None:
    """Old files may hold a factor per feature; where it is not all ones, no SAELens since 6.0 applies it."""
    if "scaling_factor" not in files.tensors:
        return
    factor = files.take("scaling_factor", None)
    if not torch.allclose(factor, torch.ones_like(factor)):
        raise Invalid(
            f"{files.weights}: scaling_factor is not all ones: the SAE was fine-tuned with a factor for each feature "
            f"(finetuning_scaling_factor: {settings.get('finetuning_scaling_factor')}), which is not applied here."
        )
