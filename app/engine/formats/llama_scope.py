"""Llama Scope: hyperparams.json with checkpoints/final.safetensors, JumpReLU. He et al. 2024, arXiv 2410.20526.

encoder.weight: (n_features, d_in), decoder.weight: (d_out, n_features), encoder.bias, decoder.bias. Trained on inputs
scaled to a mean norm of sqrt(d_in): scale = sqrt(d_in) / dataset_average_activation_norm. The one jump_relu_threshold
is for activations of the unscaled input, so it is scaled too. Llama Scope R1 Distill instead has config.json,
sae_weights.safetensors, and a threshold for each feature (log_jumprelu_threshold) in scaled units.
"""

from dataclasses import replace

import torch

from app.engine.formats.files import SaeFiles, Settings
from app.engine.nonlinearities import JumpRelu
from app.engine.sae import Sae

NAME = "Llama Scope"
CONFIG = "hyperparams.json"
DISTILL_CONFIG = "config.json"
NORMS = "dataset_average_activation_norm"


def holds(files: SaeFiles) -> bool:
    if not files.has("encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias"):
        return False
    return files.has("log_jumprelu_threshold") or "hook_point_in" in _settings(files)


def load(files: SaeFiles) -> Sae:
    """Raises Invalid naming the file, and the tensor or the key that is wrong."""
    settings = _settings(files)
    encoder = files.take("encoder.weight", None, None)
    n_features, d_in = encoder.shape
    decoder = files.take("decoder.weight", None, n_features)
    d_out = decoder.shape[0]
    files.agree(settings, d_model=d_in, d_sae=n_features)
    read, written = settings.text("hook_point_in"), settings.text("hook_point_out")
    transcoder = written is not None and written != read
    scale = _scale(files, settings, "in", d_in)
    if files.has("log_jumprelu_threshold"):
        threshold = files.take("log_jumprelu_threshold", n_features).exp()
    else:
        stated = settings.number("jump_relu_threshold")
        if stated is None:
            raise settings.refused("it states no jump_relu_threshold.")
        threshold = torch.full((n_features,), stated * (scale or 1.0))
    made = Sae(
        format=NAME,
        architecture="jumprelu_transcoder" if transcoder else "jumprelu",
        encoder=encoder.T,
        encoder_bias=files.take("encoder.bias", n_features),
        decoder=decoder.T,
        decoder_bias=files.take("decoder.bias", d_out),
        nonlinearity=JumpRelu(threshold),
        transcoder=transcoder,
        normalisation="expected_average_only_in" if scale is None else "none",
        hook_point=read,
        hook_point_out=written if transcoder else None,
        model_name="meta-llama/Llama-3.1-8B",
        prepend_bos=True,
        context=1024,
    )
    if scale is None:
        return made
    scaled = made.with_input_scale(scale)
    if not transcoder:
        return scaled
    out = _scale(files, settings, "out", d_out) or scale
    return replace(scaled, decoder=made.decoder / out, decoder_bias=made.decoder_bias / out)


def _settings(files: SaeFiles) -> Settings:
    return files.settings(CONFIG) or files.settings(CONFIG, above=True) or files.settings(DISTILL_CONFIG)


def _scale(files: SaeFiles, settings: Settings, way: str, width: int) -> float | None:
    """sqrt(width) over the mean norm; None where no norm is stated (R1 Distill: the registry has the factor)."""
    norm = settings.part(NORMS).number(way)
    if norm is None and files.has("log_jumprelu_threshold"):
        return None
    if norm is None or norm <= 0:
        raise settings.refused(f"it states no {NORMS} for {way!r}, and the input is scaled by it.")
    return float(width**0.5 / norm)
