"""Which next tokens a feature promotes and suppresses: its decoder direction read through the final norm."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from app.engine.extremes import largest
from app.engine.hook_points import HookPoint
from app.engine.language_model import LanguageModel, Unembedding
from app.engine.sae import Sae

CHUNK = 1024  # features a block of answers
PRODUCT = 128  # features whose logits are held at once


@dataclass(frozen=True)
class TopLogits:
    """For features first, first + 1, ...: (n, k) token ids and logits, strongest first."""

    first: int
    promoted_ids: Tensor
    promoted: Tensor
    suppressed_ids: Tensor
    suppressed: Tensor


def feature_logits(model: LanguageModel, decoder: Tensor) -> Tensor:
    """(n, d_model) directions of the stream -> (n, n_vocabulary) logits: W_U (norm scale * centred direction).

    Folding the norm's scale and centring follows TransformerLens' fold_ln; what the norm divides by depends on the
    text and is left out, so logits compare within a feature, and across features in units of the stream. A final
    soft-cap (Gemma 2) bends each token's logit by itself and is left out too.
    """
    parts = model.unembedding()
    return _folded(parts, decoder) @ parts.weight.float().T


def _folded(parts: Unembedding, decoder: Tensor) -> Tensor:
    directions = decoder.float()
    if parts.centred:
        directions = directions - directions.mean(dim=1, keepdim=True)
    return directions * parts.scale


@torch.inference_mode()
def top_logits(model: LanguageModel, sae: Sae, hook: HookPoint, k: int) -> Iterator[TopLogits]:
    """The k most promoted and most suppressed tokens of every feature, CHUNK features at a time.

    hook: where the SAE writes. No tokens where that adds nothing to the stream, and for a model without logits.
    """
    unembedding: Tensor | None = None  # in single precision once, whatever the model's
    for first in range(0, sae.n_features, CHUNK):
        some = sae.decoder[first : first + CHUNK]
        directions = model.to_stream(hook, some) if model.has_logits else None
        if directions is None:
            none = torch.zeros(len(some), 0)
            yield TopLogits(first, none.long(), none, none.long(), none)
            continue
        norm = model.unembedding()
        unembedding = norm.weight.float() if unembedding is None else unembedding
        parts = []
        folded = _folded(norm, directions)
        for begin in range(0, len(folded), PRODUCT):
            logits = folded[begin : begin + PRODUCT] @ unembedding.T
            high, promoted = largest(logits, k)
            low, suppressed = largest(logits.neg_(), k)
            parts.append((promoted, high, suppressed, low.neg_()))
        yield TopLogits(first, *(torch.cat(part) for part in zip(*parts, strict=True)))
