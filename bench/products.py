"""How fast this machine multiplies float32 matrices: by what torch takes for them, and by oneDNN (engine/products.py).

python -m bench.products

For the shapes of the demo and of GPT-2 small, with one thread and with one a processor: billions of operations a
second of each, medians in turns. ratio: torch's own time over oneDNN's. is_used: whether the application takes oneDNN
here. The last line is JSON.
"""

import json
import os
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch

from app.engine import products

SHAPES = ((256, 704), (256, 1024), (768, 3072), (3072, 768), (768, 24576))  # numbers in, numbers out
ROWS = (1, 8, 34, 128, 640)
TURNS = 15


@torch.inference_mode()
def main() -> None:
    found = {}
    for threads in sorted({1, os.cpu_count() or 1}):
        torch.set_num_threads(threads)
        for n_in, n_out in SHAPES:
            for n_rows in ROWS:
                x, weight = torch.randn(n_rows, n_in), torch.randn(n_out, n_in)
                own, onednn = medians([partial(torch.mm, x, weight.T), partial(products.by_onednn, x, weight)])
                operations = 2 * n_rows * n_in * n_out / 1e9
                name = f"{threads} threads, {n_rows} x {n_in} x {n_out}"
                found[name] = round(own / onednn, 2)
                print(f"{name:36} torch {operations / own:6.0f}  oneDNN {operations / onednn:6.0f}", flush=True)
    print(json.dumps({"is_used": products.is_quick_here(), "ratio": found}))


def medians(ways: list[Callable[[], object]]) -> list[float]:
    """Seconds of each, in turns; the first of each, in which code is made, left out."""
    times: list[list[float]] = [[] for _ in ways]
    for turn in range(TURNS + 1):
        for way, kept in zip(ways, times, strict=True):
            began = time.perf_counter()
            way()
            if turn:
                kept.append(time.perf_counter() - began)
    return [statistics.median(kept) for kept in times]


if __name__ == "__main__":
    main()
