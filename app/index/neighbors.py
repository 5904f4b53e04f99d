"""Neighbours of features: by decoder direction, and by the sentences in which both fire."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.engine.extremes import largest
from app.engine.sae import Sae
from app.store.packing import Neighbors

NEIGHBORS = 10
SHARED_SENTENCES = 8192  # the first of the draw: co-activation is counted over these
_HELD = 1 << 23  # products held at once (32 MB)
_EXACT = 256  # sentences a product: whole numbers up to 2^8 are exact in bfloat16
KEPT = 1 << 27  # indicators held unpacked (256 MB); more are unpacked again for every product,
_ROWS = 512  # of so many features at least, since unpacking takes longer than the product of a few


def unit_directions(decoder: Tensor) -> Tensor:
    """(n_features, d) decoder rows, each of norm 1 (a zero row stays zero)."""
    rows = decoder.float()
    unit: Tensor = rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-30)
    return unit


@torch.inference_mode()
def encoder_cosines(sae: Sae) -> NDArray[np.float32]:
    """(n_features,) between encoder and decoder direction; NaN in a transcoder, where they lie in different spaces."""
    if sae.transcoder or sae.d_in != sae.d_out:
        return np.full(sae.n_features, np.nan, np.float32)
    step = max(1, _HELD // sae.d_in)
    pieces = []
    for first in range(0, sae.n_features, step):
        encoder, decoder = sae.encoder[:, first : first + step].T.float(), sae.decoder[first : first + step].float()
        pieces.append(torch.nn.functional.cosine_similarity(encoder, decoder, dim=1).cpu())
    cosines: NDArray[np.float32] = torch.cat(pieces).numpy()
    return cosines


@torch.inference_mode()
def direction_neighbors(unit: Tensor, first: int, last: int) -> tuple[Neighbors, Neighbors]:
    """The most similar and the most opposite of features first to last - 1 by cosine, each itself left out."""
    k = min(NEIGHBORS, len(unit) - 1)
    found: list[list[Tensor]] = [[], [], [], []]
    step = max(1, _HELD // len(unit))
    for begin in range(first, last, step):
        end = min(begin + step, last)
        cosines = unit[begin:end] @ unit.T
        own = (torch.arange(end - begin), torch.arange(begin, end))
        cosines[own] = -torch.inf
        high, similar = largest(cosines, k)
        cosines[own] = torch.inf
        low, opposite = largest(cosines.neg_(), k)
        for place, part in enumerate((high.clamp(-1, 1), similar, low.neg().clamp(-1, 1), opposite)):
            found[place].append(part.cpu())
    above, alike, below, unlike = (torch.cat(parts).numpy() for parts in found)
    return Neighbors(alike, above), Neighbors(unlike, below)


class CoActivation:
    """In which sentences features fire, and which features fire in the same.

    Counts come from products of 0-1 matrices, exact in bfloat16 by taking _EXACT sentences at a time, which processors
    with bfloat16 arithmetic do several times as fast as float32; elsewhere float32 is used.
    """

    def __init__(self, n_features: int, n_sentences: int, device: torch.device, kept: int = KEPT) -> None:
        self.n_sentences = min(n_sentences, SHARED_SENTENCES)
        self.n_features = n_features
        self.device = device
        self._kept = kept
        self.dtype = torch.bfloat16 if device.type == "cuda" or has_fast_bfloat16() else torch.float32
        self._bits = np.zeros((n_features, -(-self.n_sentences // 8)), np.uint8)
        self._n_firing: Tensor = torch.zeros(n_features)
        self._chunks: list[Tensor] | None = None

    def add(self, first: int, n: int, features: NDArray[np.integer], places: NDArray[np.integer]) -> None:
        """Features first + features[i] (below first + n) fire in the sentence at place places[i] of the draw."""
        inside = places < self.n_sentences
        fires = np.zeros((n, self.n_sentences), dtype=bool)
        fires[features[inside], places[inside]] = True
        self._bits[first : first + n] = np.packbits(fires, axis=1)
        self._n_firing[first : first + n] = torch.from_numpy(fires.sum(axis=1, dtype=np.float32))

    @torch.inference_mode()
    def neighbors(self, first: int, last: int) -> Neighbors:
        """Those that fire most often in the same sentences, by Jaccard, the lower index first."""
        k = min(NEIGHBORS, self.n_features - 1)
        if self._chunks is None and self.n_features * self.n_sentences <= self._kept:
            self._chunks = [self._chunk(begin) for begin in range(0, self.n_sentences, _EXACT)]
        n_firing = self._n_firing.to(self.device)
        features, shares = [], []
        step = max(1, _HELD // self.n_features)
        counted = step if self._chunks is not None else -(-_ROWS // step) * step
        shared = torch.zeros(0, 0)
        for begin in range(first, last, step):
            end = min(begin + step, last)
            at = (begin - first) % counted
            if at == 0:
                shared = self._both(begin, min(begin + counted, last))
            both = shared[at : at + end - begin]
            either = n_firing[begin:end, None] + n_firing
            either -= both
            jaccard = both.div_(either.clamp_(min=1))
            jaccard[torch.arange(end - begin), torch.arange(begin, end)] = 0
            found, columns = _largest_exact(jaccard, k)
            features.append(columns)
            shares.append(found)
        return Neighbors(np.concatenate(features), np.concatenate(shares))

    def _both(self, begin: int, end: int) -> Tensor:
        """(end - begin, n_features): sentences in which both fire."""
        both: Tensor | None = None
        for i, start in enumerate(range(0, self.n_sentences, _EXACT)):
            fires = self._chunks[i] if self._chunks is not None else self._chunk(start)
            shared = fires[begin:end] @ fires.T
            both = shared.float() if both is None else both.add_(shared)
        return torch.zeros(end - begin, self.n_features, device=self.device) if both is None else both

    def _chunk(self, start: int) -> Tensor:
        """(n_features, up to _EXACT): 1 where a feature fires in a sentence."""
        count = min(_EXACT, self.n_sentences - start)
        fires = np.unpackbits(self._bits[:, start // 8 : (start + _EXACT) // 8], axis=1, count=count)
        return torch.from_numpy(fires).to(self.device).to(self.dtype)


def _largest_exact(x: Tensor, k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """As extremes.largest, and of equal values that straddle the k-th place the lower columns."""
    values, columns = largest(x, k + 1)
    straddles = (values[:, k - 1] == values[:, -1]) & (values[:, k - 1] > 0) if values.shape[1] > k else None
    found, places = values[:, :k].cpu().numpy(), columns[:, :k].cpu().numpy()
    for row in [] if straddles is None or k == 0 else straddles.nonzero().view(-1).tolist():
        reach = (x[row] >= values[row, k - 1]).nonzero().view(-1).cpu().numpy()
        best = reach[np.argsort(-x[row].cpu().numpy()[reach], kind="stable")[:k]]
        places[row] = best
    return found, places


def has_fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 natively; without, it is slower than float32."""
    known: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # from torch 2.10 on
    return bool(known.get("amx_bf16") or known.get("avx512_bf16"))
