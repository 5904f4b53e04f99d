"""The largest entries of long rows, without sorting or copying them."""

import torch
from torch import Tensor

_LANES = 64
_SHORT = 2048  # columns up to which torch's own topk is as fast


def largest(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """(n, m) -> values and columns, (n, k) each, descending; of equal values the lower column first.

    Where equal values straddle the k-th place, which of them are given is not said.
    Columns are dealt to m / 64 groups. The k largest entries stand in the k groups with the largest maxima: so one
    plain pass finds these, and only they are looked at closely.
    """
    n, m = x.shape
    k = min(k, m)
    if m <= _SHORT:
        return _ordered(*x.topk(k, dim=1))
    width = m // _LANES
    dealt = x[:, : width * _LANES].view(n, _LANES, width)
    groups = dealt.amax(dim=1).topk(k, dim=1, sorted=False).indices
    lanes = torch.arange(_LANES, device=x.device) * width
    columns = (groups[:, :, None] + lanes).flatten(1)
    rest = torch.arange(width * _LANES, m, device=x.device).expand(n, -1)
    columns = torch.cat([columns, rest], dim=1)
    values, places = x.gather(1, columns).topk(k, dim=1)
    return _ordered(values, columns.gather(1, places))


def _ordered(values: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    columns, order = columns.sort(dim=1)
    values, best = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    return values, columns.gather(1, best)
