"""A sparse autoencoder: activations to features and back."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from app.engine.hook_points import HookPoint
from app.engine.language_model import LanguageModel
from app.errors import Invalid

# Added to the deviation as SAELens and OpenAI's code do, so that a constant input does not divide by zero.
LAYER_NORM_EPSILON = 1e-5


@dataclass(frozen=True)
class Sae:
    """f = activation(x W_enc + b_enc), x_hat = f W_dec + b_dec, with what stands around them in the file.

    encoder: (d_in, n_features); decoder: (n_features, d_in); encoder_bias: (n_features,); decoder_bias: (d_in,)
    activation: relu | jumprelu (threshold: (n_features,)) | topk (k) | gated (gate_bias, magnitude_scale)
    centre_input: whether decoder_bias is subtracted first. normalisation: none | constant_norm_rescale | layer_norm.
    rescale_by_decoder_norm: top-k compares, and gives, pre-activations times the decoder row's norm.
    """

    architecture: str
    encoder: Tensor
    decoder: Tensor
    encoder_bias: Tensor
    decoder_bias: Tensor
    activation: str
    threshold: Tensor | None = None
    k: int | None = None
    gate_bias: Tensor | None = None
    magnitude_scale: Tensor | None = None
    centre_input: bool = False
    normalisation: str = "none"
    rescale_by_decoder_norm: bool = False
    hook_point: str | None = None
    model_name: str | None = None
    prepend_bos: bool | None = None
    context: int | None = None

    @property
    def d_in(self) -> int:
        return self.encoder.shape[0]

    @property
    def n_features(self) -> int:
        return self.encoder.shape[1]

    def encode(self, x: Tensor) -> Tensor:
        """(n_tokens, d_in) -> (n_tokens, n_features), in the encoder's dtype."""
        x, _, _ = self._normalise(x.to(self.encoder.dtype))
        if self.centre_input:
            x = x - self.decoder_bias
        if self.activation == "gated":
            return self._gated(x @ self.encoder)
        acts = torch.addmm(self.encoder_bias, x, self.encoder)
        if self.activation == "topk":
            return self._top_k(acts)
        if self.threshold is not None:
            # SAELens jumprelu: relu(p) where p > threshold.
            acts.masked_fill_(acts <= self.threshold.clamp(min=0), 0.0)
            return acts
        return acts.relu_()

    def reconstruct(self, x: Tensor) -> Tensor:
        """(n_tokens, d_in) -> (n_tokens, d_in): x through the SAE, the normalisation of the input undone."""
        features = self.encode(x)
        if self.rescale_by_decoder_norm:
            features = features / self.decoder.norm(dim=1)
        _, mean, scale = self._normalise(x.to(self.encoder.dtype))
        return (features @ self.decoder + self.decoder_bias) * scale + mean

    def _normalise(self, x: Tensor) -> tuple[Tensor, Tensor | float, Tensor | float]:
        """x as the encoder takes it, and the mean and scale that undo it."""
        if self.normalisation == "constant_norm_rescale":
            scale = x.norm(dim=1, keepdim=True) / self.d_in**0.5
            return x / scale, 0.0, scale
        if self.normalisation == "layer_norm":
            mean = x.mean(dim=1, keepdim=True)
            deviation = x.std(dim=1, keepdim=True) + LAYER_NORM_EPSILON  # unbiased
            return (x - mean) / deviation, mean, deviation
        return x, 0.0, 1.0

    def _top_k(self, acts: Tensor) -> Tensor:
        assert self.k is not None
        if self.rescale_by_decoder_norm:
            acts = acts * self.decoder.norm(dim=1)
        values, places = acts.topk(min(self.k, self.n_features), dim=1, sorted=False)
        return torch.zeros_like(acts).scatter_(1, places, values.relu_())

    def _gated(self, product: Tensor) -> Tensor:
        assert self.gate_bias is not None
        assert self.magnitude_scale is not None
        magnitude = torch.relu(product * self.magnitude_scale + self.encoder_bias)
        return magnitude.masked_fill_(product + self.gate_bias <= 0, 0.0)

    def n_bytes(self) -> int:
        return sum(t.numel() * t.element_size() for t in (self.encoder, self.decoder))


def load_sae(path: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Sae:
    """An SAE from a folder or file in a supported format, found by what it holds. Raises Invalid."""
    from app.engine import formats

    return formats.load(path, device, dtype)


def check_fits(model: LanguageModel, sae: Sae, hook: HookPoint) -> None:
    """Raises Invalid where the SAE cannot read this model's activations there."""
    model.check_hook(hook)
    if sae.d_in != model.d_model:
        raise Invalid(
            f"The SAE reads {sae.d_in} numbers a token, but {model.name} has {model.d_model} at {hook}: "
            "it was trained on another model."
        )
