"""The largest entries of long rows, without sorting or copying them."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_LANES = 64  # entries of a group
_SHORT = 1024  # columns up to which torch's own topk is as fast
_SPARE = 4  # times k: a row with more candidates has so many equal ones that torch looks at it
_PIECE = 1 << 18  # entries that are worth a thread of their own


def largest(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """(n, m) -> values and columns, (n, k) each, descending; of equal values the lower column first.

    Where equal values straddle the k-th place, which of them are given is not said.
    """
    values, columns = strongest(x, k)
    columns, order = columns.sort(dim=1)
    values, best = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    return values, columns.gather(1, best)


def strongest(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """As `largest`, in no order.

    Columns are dealt to groups. At least k entries reach the k-th largest of the groups' maxima, and hardly more do:
    one plain pass finds the maxima, another who reaches it.
    """
    m = x.shape[1]
    k = min(k, m)
    if x.device.type == "cpu" and x.dtype != torch.float32:
        values, columns = strongest(x.float(), k)
        return values.to(x.dtype), columns
    lanes = min(_LANES, m // (4 * max(k, 1)))
    if m <= _SHORT or lanes < 4:
        return _plain_topk(x, k)
    width = m // lanes
    maxima = x[:, : width * lanes].view(len(x), lanes, width).amax(dim=1)
    if x.device.type != "cpu":
        return _within_groups(x, maxima, k, width * lanes)
    return _reaching(x, maxima.topk(k, dim=1, sorted=False).values.amin(dim=1), k)


def _within_groups(x: Tensor, maxima: Tensor, k: int, dealt: int) -> tuple[Tensor, Tensor]:
    """The k largest stand in the k groups with the largest maxima, or behind those `dealt`."""
    groups = maxima.topk(k, dim=1, sorted=False).indices
    places = torch.arange(0, dealt, maxima.shape[1], device=x.device)
    rest = torch.arange(dealt, x.shape[1], device=x.device).expand(len(x), -1)
    columns = torch.cat([(groups[:, :, None] + places).flatten(1), rest], dim=1)
    values, found = x.gather(1, columns).topk(k, dim=1, sorted=False)
    return values, columns.gather(1, found)


def _reaching(x: Tensor, least: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of those that reach `least`, (n,), which at least k of a row do (but in a row with NaN)."""
    n, m = x.shape
    flat = places_above(x, np.nextafter(least.numpy(), np.float32(-np.inf))[:, None])
    bounds = np.searchsorted(flat, np.arange(n + 1) * m)
    counts = np.diff(bounds)
    plain = (counts < k) | (counts > _SPARE * k)
    wide = max(int(counts[~plain].max(initial=k)), k)
    rows = np.repeat(np.arange(n), counts)
    within = np.arange(len(flat)) - np.repeat(bounds[:-1], counts)
    if plain.any():
        kept = ~plain[rows]
        flat, rows, within = flat[kept], rows[kept], within[kept]
    candidates, columns = np.full((n, wide), -np.inf, np.float32), np.zeros((n, wide), np.int64)
    candidates[rows, within] = x.numpy().reshape(-1)[flat]
    columns[rows, within] = flat - rows * m
    values, found = torch.from_numpy(candidates).topk(k, dim=1, sorted=False)
    chosen = torch.from_numpy(columns).gather(1, found)
    if plain.any():
        others = torch.from_numpy(np.flatnonzero(plain))
        values[others], chosen[others] = _plain_topk(x[others], k)
    return values, chosen


def _plain_topk(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    values, columns = x.topk(k, dim=1, sorted=False)
    return values, columns


def places_above(x: Tensor, limit: "NDArray[np.float32] | float") -> NDArray[np.int64]:
    """Where x, (n, m) in the processor's memory, is above the limit, counted through rows.

    limit: of all, of each column (m,) or of each row (n, 1). numpy finds them several times as fast as torch, if in one
    thread: so rows are shared out.
    """
    rows, (n, m) = x.numpy(), x.shape
    n_threads = max(1, min(torch.get_num_threads(), x.numel() // _PIECE, n))
    firsts = [n * i // n_threads for i in range(n_threads + 1)]

    def find(i: int) -> NDArray[np.int64]:
        part = slice(firsts[i], firsts[i + 1])
        own = limit[part] if isinstance(limit, np.ndarray) and limit.ndim == 2 else limit
        return np.flatnonzero(rows[part] > own) + firsts[i] * m

    if n_threads == 1:
        return find(0)
    others = _threads(n_threads - 1).map(find, range(1, n_threads))
    return np.concatenate([find(0), *others])


@cache
def _threads(n: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n)
