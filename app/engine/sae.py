"""A sparse autoencoder, or a transcoder: activations to features, and features to activations."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from app.engine.hook_points import HookPoint, parse_hook_point
from app.engine.language_model import LanguageModel
from app.engine.nonlinearities import Gated, JumpRelu, MatchingPursuit, Nonlinearity, Relu, with_tensors
from app.engine.products import times
from app.errors import Invalid

# Added to the deviation as SAELens and OpenAI's code do, so that a constant input does not divide by zero.
LAYER_NORM_EPSILON = 1e-5
NORMALISATIONS = ("none", "expected_average_only_in", "constant_norm_rescale", "layer_norm")


@dataclass(frozen=True)
class Sae:
    """features = nonlinearity((normalise(x) - centre) W_enc + b_enc), x_hat = features W_dec + b_dec (+ x W_skip).

    encoder: (d_in, n_features); encoder_bias: (n_features,); decoder: (n_features, d_out); decoder_bias: (d_out,)
    centre: (d_in,), what the input loses first, or None; most formats subtract b_dec, and some do not.
    skip: (d_in, d_out), the affine path of some transcoders around the features, or None.
    transcoder: it reads hook_point and writes hook_point_out; the input's normalisation is then not undone.
    normalisation: one of NORMALISATIONS. expected_average_only_in is a factor that belongs into the weights
        (`with_input_scale`): by itself it changes nothing, as in SAELens.
    hook_point ... l0: what the files say of where the SAE belongs; None where they do not. l0: features a token.
    """

    format: str
    architecture: str
    encoder: Tensor
    encoder_bias: Tensor
    decoder: Tensor
    decoder_bias: Tensor
    nonlinearity: Nonlinearity
    centre: Tensor | None = None
    skip: Tensor | None = None
    transcoder: bool = False
    normalisation: str = "none"
    hook_point: str | None = None
    hook_point_out: str | None = None
    model_name: str | None = None
    prepend_bos: bool | None = None
    context: int | None = None
    l0: float | None = None

    @property
    def d_in(self) -> int:
        return self.encoder.shape[0]

    @property
    def d_out(self) -> int:
        return self.decoder.shape[1]

    @property
    def n_features(self) -> int:
        return self.encoder.shape[1]

    def encode(self, x: Tensor) -> Tensor:
        """(n_tokens, d_in) -> (n_tokens, n_features), in the encoder's dtype.

        hook_z may come as (n_tokens, n_heads, d_head): heads are laid side by side, as every format here does.
        """
        if isinstance(self.nonlinearity, MatchingPursuit):
            return self.nonlinearity.pursue(self._encoder_input(x), self.decoder)
        return self.nonlinearity(self.pre_activations(x))

    def encoder_of(self, features: Tensor) -> Callable[[Tensor], Tensor]:
        """What gives the activations of some features alone: (n_tokens, d_in) -> (n_tokens, n). features: (n,) indices.

        Where features compete for a token (top-k and its like), all are computed.
        """
        if not isinstance(self.nonlinearity, Relu | JumpRelu | Gated):
            return lambda x: self.encode(x)[:, features]
        alone = replace(
            self,
            encoder=self.encoder[:, features].contiguous(),
            encoder_bias=self.encoder_bias[features],
            nonlinearity=with_tensors(self.nonlinearity, lambda of_all: of_all[features]),
        )
        return alone.encode

    def pre_activations(self, x: Tensor) -> Tensor:
        """(n_tokens, d_in) -> (n_tokens, n_features): what the nonlinearity is given."""
        return times(self._encoder_input(x), self.encoder, self.encoder_bias)

    def products(self, x: Tensor) -> Tensor:
        """(n_tokens, d_in) -> (n_tokens, n_features): pre-activations before the encoder's bias is added."""
        return times(self._encoder_input(x), self.encoder)

    def decode(self, features: Tensor, x: Tensor) -> Tensor:
        """(n_tokens, n_features) -> (n_tokens, d_out).

        x: (n_tokens, d_in), what was encoded: its mean and scale are given back, and a skip connection reads it.
        """
        x = self._flat(x)
        made = times(features, self.decoder) + self.decoder_bias
        if self.skip is not None:
            made = made + times(x, self.skip)
        if self.transcoder:
            return made
        _, mean, scale = self._normalise(x)
        return made * scale + mean

    def reconstruct(self, x: Tensor) -> Tensor:
        """(n_tokens, d_in) -> (n_tokens, d_out): x through the SAE."""
        return self.decode(self.encode(x), x)

    def with_input_scale(self, scale: float) -> "Sae":
        """The SAE that reads x as this one reads scale * x, and writes x_hat / scale: the factor is in the weights.

        SAELens calls it norm_scaling_factor: sqrt(d_in) over the mean norm of the activations it was trained on.
        """
        nonlinearity = self.nonlinearity
        if isinstance(nonlinearity, MatchingPursuit):
            nonlinearity = replace(nonlinearity, residual_threshold=nonlinearity.residual_threshold / scale)
        return replace(
            self,
            encoder=self.encoder * scale,
            decoder=self.decoder / scale,
            decoder_bias=self.decoder_bias / scale,
            centre=None if self.centre is None else self.centre / scale,
            nonlinearity=nonlinearity,
            normalisation="none",
        )

    def with_unit_decoder(self) -> "Sae":
        """The same reconstruction with every decoder row of norm 1, the norm being in the feature's activation.

        For nonlinearities that compare pre-activations (top-k), and for those that scale with them (ReLU).
        """
        norm = self.decoder.norm(dim=1).clamp(min=1e-8)  # SAELens' bound for a dead row
        return replace(
            self,
            encoder=self.encoder * norm,
            encoder_bias=self.encoder_bias * norm,
            decoder=self.decoder / norm[:, None],
        )

    def to(self, device: str, dtype: torch.dtype) -> "Sae":
        def moved(tensor: Tensor) -> Tensor:
            return tensor.to(device, dtype).contiguous()

        return replace(
            self,
            encoder=moved(self.encoder),
            encoder_bias=moved(self.encoder_bias),
            decoder=moved(self.decoder),
            decoder_bias=moved(self.decoder_bias),
            centre=None if self.centre is None else moved(self.centre),
            skip=None if self.skip is None else moved(self.skip),
            nonlinearity=with_tensors(self.nonlinearity, moved),
        )

    def n_bytes(self) -> int:
        large = [self.encoder, self.decoder, *([] if self.skip is None else [self.skip])]
        return sum(t.numel() * t.element_size() for t in large)

    def _encoder_input(self, x: Tensor) -> Tensor:
        x, _, _ = self._normalise(self._flat(x))
        return x if self.centre is None else x - self.centre

    def _flat(self, x: Tensor) -> Tensor:
        x = x.to(self.encoder.dtype)
        return x if x.shape[-1] == self.d_in or x.ndim < 3 else x.flatten(-2)

    def written(self, features: Tensor, amounts: Tensor, x: Tensor) -> Tensor:
        """What more of some features adds to the reconstruction of x.

        features: (n,) indices; amounts: (n_tokens, n), by how much each activation rises; x: (n_tokens, d_in)
        -> (n_tokens, d_out): amounts times the decoder rows, in the scale that x was normalised by.
        """
        written = amounts.to(self.decoder.dtype) @ self.decoder[features]
        if self.transcoder:
            return written
        _, _, scale = self._normalise(self._flat(x))
        return written * scale

    def _normalise(self, x: Tensor) -> tuple[Tensor, Tensor | float, Tensor | float]:
        """x as the encoder takes it, and the mean and scale that undo it."""
        if self.normalisation == "constant_norm_rescale":
            scale = x.norm(dim=-1, keepdim=True) / self.d_in**0.5
            return x / scale, 0.0, scale
        if self.normalisation == "layer_norm":
            mean = x.mean(dim=-1, keepdim=True)
            deviation = x.std(dim=-1, keepdim=True)  # unbiased
            # The epsilon stands in the way in alone: SAELens and OpenAI both multiply by the plain deviation.
            return (x - mean) / (deviation + LAYER_NORM_EPSILON), mean, deviation
        return x, 0.0, 1.0


def load_sae(path: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Sae:
    """An SAE from a folder or file in a supported format, found by what it holds. Raises Invalid."""
    from app.engine import formats

    return formats.load(path).to(device, dtype)


def written_at(sae: Sae, hook: HookPoint) -> HookPoint:
    """Where a transcoder's output belongs, in the layer that it reads; of an SAE the hook itself. Raises Invalid."""
    if not sae.transcoder:
        return hook
    if sae.hook_point_out is None:
        raise Invalid(
            f"The {sae.format} files of this transcoder do not say which hook point it writes: SAELens' cfg.json has "
            "it as metadata.hook_name_out, a description of plain tensors as hook_point_out."
        )
    out = parse_hook_point(sae.hook_point_out)
    read = parse_hook_point(sae.hook_point) if sae.hook_point else hook
    return replace(out, layer=out.layer + hook.layer - read.layer) if not out.module else out


def check_fits(model: LanguageModel, sae: Sae, hook: HookPoint) -> None:
    """Raises Invalid where the SAE cannot read this model's activations there, or write them where it writes."""
    model.check_hook(hook)
    width = model.width(hook)
    if sae.d_in != width:
        raise Invalid(
            f"The SAE reads {sae.d_in} numbers a token, but {model.name} has {width} at {hook}: "
            "it was trained on another model."
        )
    out = written_at(sae, hook)
    model.check_hook(out)
    if sae.transcoder and sae.d_out != model.width(out):
        raise Invalid(
            f"The transcoder writes {sae.d_out} numbers a token, but {model.name} has {model.width(out)} at {out}: "
            "it was trained on another model."
        )
