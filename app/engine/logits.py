"""Which next tokens a feature promotes and suppresses: its decoder direction read through the final norm."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from app.engine.extremes import largest
from app.engine.hook_points import HookPoint
from app.engine.language_model import LanguageModel, Unembedding
from app.engine.sae import Sae

PRODUCT = 128  # features whose logits are held at once


@dataclass(frozen=True)
class TopLogits:
    """(n, k) token ids and logits, strongest first."""

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


class LogitReader:
    """The tokens that features promote and suppress most. hook: where the SAE writes."""

    def __init__(self, model: LanguageModel, sae: Sae, hook: HookPoint) -> None:
        self.model = model
        self.sae = sae
        self.hook = hook

    @cached_property
    def _unembedding(self) -> Unembedding:
        """In single precision once, whatever the model's."""
        parts = self.model.unembedding()
        return replace(parts, weight=parts.weight.float())

    @torch.inference_mode()
    def top(self, first: int, last: int, k: int) -> TopLogits:
        """Of features first to last - 1. None where the SAE adds nothing to the stream, or the model has no logits."""
        some = self.sae.decoder[first:last]
        directions = self.model.to_stream(self.hook, some) if self.model.has_logits else None
        if directions is None:
            none = torch.zeros(len(some), 0)
            return TopLogits(none.long(), none, none.long(), none)
        folded = _folded(self._unembedding, directions)
        parts = []
        for begin in range(0, len(folded), PRODUCT):
            logits = folded[begin : begin + PRODUCT] @ self._unembedding.weight.T
            high, promoted = largest(logits, k)
            low, suppressed = largest(logits.neg_(), k)
            parts.append((promoted, high, suppressed, low.neg_()))
        return TopLogits(*(torch.cat(part) for part in zip(*parts, strict=True)))
