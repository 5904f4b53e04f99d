"""Neighbours of features: by decoder direction, and by the sentences in which both fire."""

from threading import Lock

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
TILE = 1 << 25  # bytes of indicators that are unpacked at once: columns of a tile of co-activation
KEPT = 1 << 27  # bytes of indicators held unpacked; more are unpacked again for every block of features


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


class Decoder:
    """Decoder rows and what makes each one of norm 1 (a zero row stays zero): a unit copy would be as large again."""

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows.float()
        self.norms = self.rows.norm(dim=1)
        self.scales = self.norms.clamp(min=1e-30).reciprocal()

    @torch.inference_mode()
    def neighbors(self, first: int, last: int) -> tuple[Neighbors, Neighbors]:
        """The most similar and the most opposite of features first to last - 1 by cosine, each itself left out."""
        n_features = len(self.rows)
        k = min(NEIGHBORS, n_features - 1)
        found: list[list[Tensor]] = [[], [], [], []]
        step = max(1, _HELD // n_features)
        for begin in range(first, last, step):
            end = min(begin + step, last)
            unit = self.rows[begin:end] * self.scales[begin:end, None]
            cosines = (unit @ self.rows.T).mul_(self.scales)
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

    Counts come from products of 0-1 matrices: of bytes where the processor multiplies those (five times as fast as
    float32, and exact), else of float32 (exact below 2^24 sentences). A tile of rows and columns is held at once.
    """

    def __init__(
        self, n_features: int, n_sentences: int, device: torch.device, kept: int = KEPT, tile: int = TILE
    ) -> None:
        self.n_sentences = min(n_sentences, SHARED_SENTENCES)
        self.n_features = n_features
        self.device = device
        self.dtype = torch.int8 if device.type == "cpu" and has_fast_bytes() else torch.float32
        self._bits = np.zeros((n_features, -(-max(self.n_sentences, 1) // 8)), np.uint8)
        self._n_firing: Tensor = torch.zeros(n_features)
        self._columns = max(1, min(tile // max(self.n_sentences * self.dtype.itemsize, 1), n_features))
        self._is_kept = n_features * self.n_sentences * self.dtype.itemsize <= kept
        self._every: Tensor | None = None
        self._unpacking = Lock()

    def pack(self, n: int, features: NDArray[np.integer], places: NDArray[np.integer]) -> NDArray[np.uint8]:
        """(n, bytes), a bit for each sentence: feature features[i] fires in that at place places[i] of the draw."""
        inside = places < self.n_sentences
        fires = np.zeros((n, 8 * self._bits.shape[1]), dtype=bool)
        fires[features[inside], places[inside]] = True
        return np.packbits(fires, axis=1)

    def add(self, first: int, fires: NDArray[np.uint8]) -> None:
        """fires: of features from first on, as `pack` gives them."""
        last = first + len(fires)
        self._bits[first:last] = fires
        self._n_firing[first:last] = torch.from_numpy(np.bitwise_count(fires).sum(axis=1, dtype=np.float32))

    @torch.inference_mode()
    def neighbors(self, first: int, last: int) -> Neighbors:
        """Those that fire most often in the same sentences, by Jaccard, the lower index first."""
        k = min(NEIGHBORS, self.n_features - 1)
        rows = self._fires(first, last)
        step = max(1, _HELD // self._columns)
        shares: list[list[NDArray[np.float32]]] = [[] for _ in range(first, last, step)]
        found: list[list[NDArray[np.int64]]] = [[] for _ in range(first, last, step)]
        for column in range(0, self.n_features, self._columns):
            end = min(column + self._columns, self.n_features)
            others = self._fires(column, end)
            for i, begin in enumerate(range(first, last, step)):
                some = rows[begin - first : begin - first + step]
                jaccard = self._jaccard(some, begin, others, column)
                values, places = _largest_exact(jaccard, k)
                shares[i].append(values)
                found[i].append(places + column)
        best = [_best_of(np.hstack(v), np.hstack(f), k) for v, f in zip(shares, found, strict=True)]
        return Neighbors(*(np.concatenate(parts) for parts in zip(*best, strict=True)))

    def _jaccard(self, rows: Tensor, first: int, columns: Tensor, column: int) -> Tensor:
        """(n_rows, n_columns): sentences in which both fire over those in which either does; 0 for itself.

        rows, columns: as of `_fires`, from features first and column.
        """
        both = (torch._int_mm(rows, columns.T) if rows.dtype == torch.int8 else rows @ columns.T).float()
        n_rows, n_columns = both.shape
        n_firing = self._n_firing.to(self.device)
        either = n_firing[first : first + n_rows, None] + n_firing[column : column + n_columns]
        either -= both
        jaccard = both.div_(either.clamp_(min=1))
        if -n_rows < first - column < n_columns:
            jaccard.diagonal(first - column).zero_()
        return jaccard

    def _fires(self, first: int, last: int) -> Tensor:
        """(last - first, n_sentences) 0-1: in which sentences each feature fires; with zeros, to whole bytes of them.

        A product of bytes over one sentence alone is wrong in torch 2.13; there are eight at least.
        """
        if not self._is_kept:
            return self._unpacked(first, last)
        with self._unpacking:
            if self._every is None:
                self._every = self._unpacked(0, self.n_features)
        return self._every[first:last]

    def _unpacked(self, first: int, last: int) -> Tensor:
        fires = np.unpackbits(self._bits[first:last], axis=1)
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


def _best_of(
    values: NDArray[np.float32], columns: NDArray[np.int64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k largest of each row, of equal ones the first; as (columns, values), (n, k) each."""
    order = np.argsort(-values, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(columns, order, axis=1), np.take_along_axis(values, order, axis=1)


def has_fast_bytes() -> bool:
    """Whether this processor multiplies matrices of bytes natively."""
    known: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # from torch 2.10 on
    return bool(known.get("amx_int8") or known.get("avx512_vnni"))


def has_fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 natively; without, it is slower than float32."""
    known: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # from torch 2.10 on
    return bool(known.get("amx_bf16") or known.get("avx512_bf16"))
