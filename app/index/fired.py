"""What fires: the activations above 0 of what an SAE reads, found without writing the zeros in between."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.engine.extremes import places_above
from app.engine.nonlinearities import JumpRelu, Relu, TopK
from app.engine.sae import Sae
from app.index.recording import UInt32

LEAST_TOKENS = 256  # what the SAE reads at once is padded to this many, see record.LENGTH_STEP
_ENCODED = 1 << 22  # activations held at once (16 MB in float32): they stay in the cache until they are looked through


@dataclass(frozen=True)
class Fired:
    """Activations above 0. tokens: which of the tokens that were read; features; values: all of one length."""

    tokens: UInt32
    features: UInt32
    values: NDArray[np.float32]


@torch.inference_mode()
def fired(sae: Sae, read: Tensor) -> Fired:
    """read: (n_tokens, d_in) -> its activations above 0, token by token."""
    n_tokens = len(read)
    if n_tokens < LEAST_TOKENS:
        read = torch.cat([read, read.new_zeros(LEAST_TOKENS - n_tokens, *read.shape[1:])])
    step = encoded_at_once(sae)
    # The last block takes the rest too, so that none is smaller than the others.
    begins = list(range(0, max(len(read) - step, 0) + 1, step))
    parts = []
    for begin, end in zip(begins, [*begins[1:], len(read)], strict=True):
        found = _fires(sae, read[begin:end])
        parts.append(Fired(found.tokens + np.uint32(begin), found.features, found.values))
    found = joined(parts)
    n = int(np.searchsorted(found.tokens, n_tokens))
    return Fired(found.tokens[:n], found.features[:n], found.values[:n])


def encoded_at_once(sae: Sae) -> int:
    """Tokens."""
    return max(LEAST_TOKENS, _ENCODED // sae.n_features)


def _fires(sae: Sae, x: Tensor) -> Fired:
    """What is above 0 of sae.encode(x), without writing the zeros in between where the nonlinearity allows it."""
    if isinstance(sae.nonlinearity, TopK):
        return _of_strongest(*sae.nonlinearity.strongest(sae.pre_activations(x)))
    if isinstance(sae.nonlinearity, Relu):
        return _where(sae.pre_activations(x), None)
    if isinstance(sae.nonlinearity, JumpRelu):
        return _where(sae.pre_activations(x), sae.nonlinearity.threshold.clamp(min=0))
    return _where(sae.encode(x), None)


def _of_strongest(values: Tensor, features: Tensor) -> Fired:
    """values, features: (n_tokens, k)"""
    above = (values > 0).cpu().numpy()
    tokens = np.repeat(np.arange(len(above), dtype=np.uint32), above.sum(axis=1))
    return Fired(tokens, features.cpu().numpy()[above].astype(np.uint32), values.float().cpu().numpy()[above])


def _where(acts: Tensor, threshold: Tensor | None) -> Fired:
    """acts: (n_tokens, n_features); threshold: of each feature, 0 where none is given."""
    n_tokens, n_features = acts.shape
    if acts.device.type == "cpu":
        whole = acts.float()
        flat = places_above(whole, 0.0 if threshold is None else threshold.float().numpy())
        values = whole.numpy().reshape(-1)[flat]
    else:
        found = (acts > (0 if threshold is None else threshold)).view(-1).nonzero().view(-1)
        values = acts.view(-1)[found].float().cpu().numpy()
        flat = found.cpu().numpy()
    # Which token each belongs to, without a division: how many lie before each token's first feature.
    begins = np.arange(n_tokens + 1) * n_features
    n = np.diff(np.searchsorted(flat, begins))
    tokens = np.repeat(np.arange(n_tokens, dtype=np.uint32), n)
    return Fired(tokens, (flat - np.repeat(begins[:-1], n)).astype(np.uint32), values)


def joined(parts: Sequence[Fired]) -> Fired:
    if len(parts) == 1:
        return parts[0]
    return Fired(
        np.concatenate([part.tokens for part in parts]),
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.values for part in parts]),
    )
