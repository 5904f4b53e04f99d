"""Products of float32 matrices, by oneDNN where the one that torch takes for them uses half of the processor.

torch multiplies float32 matrices by Intel's MKL, which leaves AVX-512 alone on AMD's processors: a batch takes twice as
long there as by oneDNN, which torch brings too (python -m bench.products). Sums are rounded in another order.
"""

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

# oneDNN writes code for every number of rows that it meets, half a megabyte in up to 2 ms, so it is given few: up to
# each of the first a multiple of the second. What is missing is filled up: of a batch about a row in twenty.
STEPS = ((80, 8), (160, 16), (320, 32), (640, 64))
MOST_ROWS = STEPS[-1][0]  # of one product; more are cut
LEAST_ROWS = 8  # below, MKL reads the weights as quickly
LEAST_WIDTH = 24  # a few features alone gain nothing, and each number of them would be code for each number of rows


def times(x: Tensor, matrix: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ matrix + bias: (n_rows, n_in), (n_in, n_out), (n_out,) -> (n_rows, n_out)."""
    if _is_quick_with(x, matrix):
        return by_onednn(x, matrix.T, bias)
    return x @ matrix if bias is None else torch.addmm(bias, x, matrix)


def use_quick_products(model: nn.Module) -> None:
    """Has every linear layer of the model multiply so, where this processor gains by it."""
    if not is_quick_here():
        return
    from transformers.pytorch_utils import Conv1D

    # And no subclass of the two, which may do something else.
    quick: Any = {kind: type(f"Quick{kind.__name__}", (Quick, kind), {}) for kind in (nn.Linear, Conv1D)}
    for module in model.modules():
        if type(module) in quick:
            module.__class__ = quick[type(module)]


@cache
def is_quick_here() -> bool:
    """Whether this processor gains, and this torch has the product, which gives what torch's own gives."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or not _is_made_by_amd():
        return False
    x, weight = torch.linspace(-1, 1, 16 * 24).view(16, 24), torch.linspace(-1, 2, 40 * 24).view(40, 24)
    try:
        return torch.allclose(_operator()(x, weight, None, "none", [], ""), x @ weight.T, rtol=1e-4, atol=1e-4)
    except (AttributeError, RuntimeError):
        return False


def even_length(n_rows: int, length: int, most: int) -> int:
    """The length from `length` to `most` that rows of tokens are padded to, so that products need not fill them up."""
    if not is_quick_here():
        return length
    longer = range(length, min(length + length // 8, most) + 1)
    return next((one for one in longer if _rows_taken(n_rows * one) == n_rows * one), length)


def _rows_taken(n_rows: int) -> int:
    """How many rows a product of so many is made of."""
    whole, rest = divmod(n_rows, MOST_ROWS)
    step = next(step for most, step in STEPS if rest <= most)
    return whole * MOST_ROWS - (-rest // step) * step


class Quick(nn.Module):
    """Stands before nn.Linear, whose weight is (n_out, n_in), or GPT-2's Conv1D, whose is (n_in, n_out)."""

    weight: Tensor
    bias: Tensor | None

    def forward(self, *given: Tensor, **named: Tensor) -> Tensor:
        weight = self.weight if isinstance(self, nn.Linear) else self.weight.T
        if named or not _is_quick_with(given[0], weight):
            made: Tensor = super().forward(*given, **named)
            return made
        x = given[0]
        return by_onednn(x.reshape(-1, x.shape[-1]), weight, self.bias).view(*x.shape[:-1], weight.shape[0])


def _is_quick_with(x: Tensor, weight: Tensor) -> bool:
    """x: rows of numbers; weight: (n_out, n_in), or the other way round."""
    return (
        is_quick_here()
        and x.dtype == weight.dtype == torch.float32
        and x.device.type == weight.device.type == "cpu"
        and type(weight) in (Tensor, nn.Parameter)  # another class may keep its numbers otherwise (torchao)
        and x.numel() >= LEAST_ROWS * x.shape[-1]
        and min(weight.shape) >= LEAST_WIDTH
        and 1 in weight.stride()
        # It knows no gradients.
        and not (torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad))
    )


def by_onednn(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(n_rows, n_in), (n_out, n_in), (n_out,) -> (n_rows, n_out)."""
    n_rows = x.shape[0]
    if n_rows <= MOST_ROWS:
        return _filled_up(x, weight, bias)
    made = x.new_empty(n_rows, weight.shape[0])
    for begin in range(0, n_rows, MOST_ROWS):
        made[begin : begin + MOST_ROWS] = _filled_up(x[begin : begin + MOST_ROWS], weight, bias)
    return made


def _filled_up(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    n_rows = x.shape[0]
    missing = _rows_taken(n_rows) - n_rows
    if missing:
        x = torch.cat([x, x.new_zeros(missing, x.shape[1])])
    made: Tensor = _operator()(x, weight, bias, "none", [], "")
    return made[:n_rows] if missing else made


@cache
def _operator() -> Any:
    """As torch's own compiler calls oneDNN; the last three arguments say that nothing follows the product."""
    return torch.ops.mkldnn._linear_pointwise.default


def _is_made_by_amd() -> bool:
    try:
        return "AuthenticAMD" in Path("/proc/cpuinfo").read_text()
    except OSError:  # another system
        return False
