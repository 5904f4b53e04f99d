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
        return _above(sae, x, torch.zeros_like(sae.encoder_bias))
    if isinstance(sae.nonlinearity, JumpRelu):
        return _above(sae, x, sae.nonlinearity.threshold.clamp(min=0))
    acts = sae.encode(x)
    if acts.device.type == "cpu":
        acts = acts.float()
        return _at(places_above(acts, 0.0), acts)
    return _at((acts > 0).view(-1).nonzero().view(-1).cpu().numpy(), acts)


def _of_strongest(values: Tensor, features: Tensor) -> Fired:
    """values, features: (n_tokens, k)"""
    above = (values > 0).cpu().numpy()
    tokens = np.repeat(np.arange(len(above), dtype=np.uint32), above.sum(axis=1))
    return Fired(tokens, features.cpu().numpy()[above].astype(np.uint32), values.float().cpu().numpy()[above])


def _above(sae: Sae, x: Tensor, threshold: Tensor) -> Fired:
    """Pre-activations above each feature's threshold, (n_features,).

    The bias is added to those alone, and taken from the threshold for all others: that saves a pass over everything.
    """
    products, bias, threshold = sae.products(x).float(), sae.encoder_bias.float(), threshold.float()
    limit = threshold - bias
    # A difference that is rounded may lie above the exact one: what reaches a little less is looked at again.
    limit = torch.where(threshold > 0, limit - 1e-6 * torch.maximum(threshold, bias.abs()), limit)
    if products.device.type == "cpu":
        found = _at(places_above(products, limit.numpy()), products)
    else:
        found = _at((products > limit).view(-1).nonzero().view(-1).cpu().numpy(), products)
    values = found.values + bias.cpu().numpy()[found.features]
    fires = values > threshold.cpu().numpy()[found.features]
    if fires.all():
        return Fired(found.tokens, found.features, values)
    return Fired(found.tokens[fires], found.features[fires], values[fires])


def _at(flat: NDArray[np.int64], x: Tensor) -> Fired:
    """x: (n_tokens, n_features), at places counted through its rows."""
    n_tokens, n_features = x.shape
    if x.device.type == "cpu":
        values = x.numpy().reshape(-1)[flat]
    else:
        values = x.view(-1)[torch.from_numpy(flat).to(x.device)].float().cpu().numpy()
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
