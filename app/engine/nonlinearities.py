"""What an SAE does to its pre-activations: one small class per kind, each a formula with its source.

A call takes p = x W_enc + b_enc, (n_tokens, n_features), may overwrite it, and gives activations of the same shape.
MatchingPursuit alone reads the activations themselves.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from app.engine.extremes import strongest


@dataclass(frozen=True)
class Relu:
    """max(p, 0)."""

    def __call__(self, p: Tensor) -> Tensor:
        return p.relu_()


@dataclass(frozen=True)
class JumpRelu:
    """p where p > threshold and p > 0, else 0: the threshold is compared with p itself. Rajamanoharan et al. 2024.

    threshold: (n_features,). Batch top-k SAEs are this with one threshold for all features.
    """

    threshold: Tensor

    def __call__(self, p: Tensor) -> Tensor:
        return p.masked_fill_(p <= self.threshold.clamp(min=0), 0.0)


@dataclass(frozen=True)
class TopK:
    """The k largest p of each token, negative ones as 0. Gao et al. 2024."""

    k: int

    def __call__(self, p: Tensor) -> Tensor:
        values, places = self.strongest(p)
        return torch.zeros_like(p).scatter_(1, places, values.relu_())

    def strongest(self, p: Tensor) -> tuple[Tensor, Tensor]:
        """(n_tokens, k) values and features, in no order, negative ones too."""
        return strongest(p, self.k)


@dataclass(frozen=True)
class AbsTopK:
    """The k largest |p| of each token with their signs: a feature may fire in two directions. arXiv 2510.00404."""

    k: int

    def __call__(self, p: Tensor) -> Tensor:
        places = p.abs().topk(min(self.k, p.shape[1]), dim=1, sorted=False).indices
        return torch.zeros_like(p).scatter_(1, places, p.gather(1, places))


@dataclass(frozen=True)
class GroupMax:
    """The largest p of each of k equal groups of neighbouring features, 0 where it is negative. sparsify's groupmax."""

    k: int

    def __call__(self, p: Tensor) -> Tensor:
        groups = p.view(len(p), self.k, p.shape[1] // self.k)  # -1 cannot be told of no tokens
        values, places = groups.max(dim=2, keepdim=True)
        return torch.zeros_like(groups).scatter_(2, places, values.relu_()).flatten(1)


@dataclass(frozen=True)
class Gated:
    """1[q + b_gate > 0] * relu(q * exp(r_mag) + b_mag) with q = x W_enc. Rajamanoharan et al. 2024.

    p carries b_gate as the encoder's bias, so that one product serves both: with p = q + b_gate the magnitude is
    p * scale + offset. scale: (n_features,) exp(r_mag); offset: (n_features,) b_mag - b_gate * exp(r_mag).
    """

    scale: Tensor
    offset: Tensor

    def __call__(self, p: Tensor) -> Tensor:
        magnitude = torch.addcmul(self.offset, p, self.scale).relu_()
        return magnitude.masked_fill_(p <= 0, 0.0)


def gated(gate_bias: Tensor, magnitude_bias: Tensor, log_scale: Tensor) -> Gated:
    """From the tensors as files hold them: b_gate, b_mag, r_mag, each (n_features,)."""
    scale = log_scale.float().exp()
    return Gated(scale, magnitude_bias.float() - gate_bias.float() * scale)


@dataclass(frozen=True)
class MatchingPursuit:
    """Takes from the residual what the best decoder row explains, again and again, until little or nothing new is left.

    SAELens' matching_pursuit: the encoder is the decoder transposed. A token is done when its residual's norm falls
    below residual_threshold (0: never), or, where stop_on_duplicate_support, when a step adds no new feature.
    """

    residual_threshold: float
    max_iterations: int
    stop_on_duplicate_support: bool

    def pursue(self, x: Tensor, decoder: Tensor) -> Tensor:
        """x: (n_tokens, d_in), decoder: (n_features, d_in) -> (n_tokens, n_features)."""
        acts = torch.zeros(len(x), len(decoder), device=x.device, dtype=x.dtype)
        residual = x.clone()
        running = torch.arange(len(x), device=x.device)
        for _ in range(self.max_iterations):
            if len(running) == 0:
                break
            rest = residual[running]
            best = (rest @ decoder.T).relu_().max(dim=1).indices
            directions = decoder[best]
            values = (rest * directions).sum(dim=1).relu_()
            before = acts[running, best]
            rest = rest - values[:, None] * directions
            acts[running, best] = before + values
            residual[running] = rest
            done = torch.zeros_like(running, dtype=torch.bool)
            if self.stop_on_duplicate_support:
                # The support grows by one feature a step or not at all.
                done |= (before != 0) | (values == 0)
            if self.residual_threshold > 0:
                done |= rest.norm(dim=1) < self.residual_threshold
            running = running[~done]
        return acts


Nonlinearity = Relu | JumpRelu | TopK | AbsTopK | GroupMax | Gated | MatchingPursuit


def with_tensors(nonlinearity: Nonlinearity, change: Callable[[Tensor], Tensor]) -> Nonlinearity:
    """The same one with each of its tensors changed, as moving to another device does."""
    if isinstance(nonlinearity, JumpRelu):
        return JumpRelu(change(nonlinearity.threshold))
    if isinstance(nonlinearity, Gated):
        return Gated(change(nonlinearity.scale), change(nonlinearity.offset))
    return nonlinearity
