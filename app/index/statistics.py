"""One feature's statistics from all its firings, each exactly as docs/definitions.md has it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.domain import INTERVALS, Histogram, Interval, Quantile
from app.index.recording import Float32, Int64, Recording

HISTOGRAM_BINS = 20
QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
TOP_TOKENS = 10
DENSITY_STEP = 0.25  # decimal orders a bar


@dataclass(frozen=True)
class Fired:
    """Where one feature fires. rows, values, windows, positions: (n,), by token row; positions within the window.

    Sentence i of those where it fires is windows[bounds[i]]: its firings are [bounds[i]:bounds[i + 1]], its peak is
    peaks[i] at position peak_positions[i], the first of equals.
    """

    rows: Int64
    values: Float32
    windows: Int64
    positions: Int64
    bounds: Int64
    sentences: Int64
    peaks: Float32
    peak_positions: Int64


def fired(recording: Recording, rows: NDArray[np.uint32], values: Float32) -> Fired:
    """rows: ascending."""
    wide = rows.astype(np.int64)
    windows = recording.window_of[wide].astype(np.int64)
    positions = wide - recording.starts[windows]
    begins = np.flatnonzero(np.diff(windows, prepend=-1))
    bounds = np.append(begins, len(wide))
    if len(wide) == 0:
        return Fired(wide, values, windows, positions, bounds, wide, values, wide)
    peaks = np.maximum.reduceat(values, begins)
    at_peak = np.flatnonzero(values == np.repeat(peaks, np.diff(bounds)))
    first_at_peak = at_peak[np.searchsorted(at_peak, begins)]
    return Fired(wide, values, windows, positions, bounds, windows[begins], peaks, positions[first_at_peak])


def interval_of(values: Float32, top: float, n: int) -> Int64:
    """Which of n equal widths of (0, top] each value lies in: j where j * top / n < value <= (j + 1) * top / n."""
    edges = np.arange(1, n + 1) * top / n
    return np.searchsorted(edges, values.astype(np.float64), side="left")


def histogram(values: Float32) -> Histogram:
    """Over HISTOGRAM_BINS equal widths of (0, max]; empty for a feature that never fired."""
    if len(values) == 0:
        return Histogram([], [])
    top = float(values.max())
    counts = np.bincount(interval_of(values, top, HISTOGRAM_BINS), minlength=HISTOGRAM_BINS)
    return Histogram([step * top / HISTOGRAM_BINS for step in range(HISTOGRAM_BINS + 1)], counts.tolist())


def intervals(found: Fired) -> list[Interval]:
    """Five equal widths of (0, max], weakest first: firings in each, and sentences whose peak lies in it."""
    if len(found.values) == 0:
        return []
    top = float(found.values.max())
    tokens = np.bincount(interval_of(found.values, top, INTERVALS), minlength=INTERVALS).tolist()
    sentences = np.bincount(interval_of(found.peaks, top, INTERVALS), minlength=INTERVALS).tolist()
    return [Interval(j * top / INTERVALS, (j + 1) * top / INTERVALS, tokens[j], sentences[j]) for j in range(INTERVALS)]


def quantiles(values: Float32) -> list[Quantile]:
    """For each share the smallest value such that at least that share of the values are no larger."""
    if len(values) == 0:
        return []
    ordered = np.sort(values)
    # The small subtraction keeps a product such as 0.1 * 30, a hair above 3, from being rounded up to 4.
    places = [max(0, int(np.ceil(share * len(ordered) - 1e-9)) - 1) for share in QUANTILES]
    return [Quantile(share, float(ordered[place])) for share, place in zip(QUANTILES, places, strict=True)]


def top_tokens(token_ids: NDArray[np.uint32]) -> list[tuple[int, int]]:
    """The most frequent ids with their counts, the lower id first among equals."""
    ids, counts = np.unique(token_ids, return_counts=True)
    order = np.lexsort((ids, -counts))[:TOP_TOKENS]
    return [(int(ids[i]), int(counts[i])) for i in order]


def density_histogram(n_active: Sequence[int] | Int64, n_tokens: int) -> Histogram:
    """Live features by log10 of their density, DENSITY_STEP a bar, from the rarest that can be to 0."""
    live = np.asarray(n_active, dtype=np.float64)
    logs = np.log10(live[live > 0] / max(n_tokens, 1))
    n_bars = int(np.floor(np.log10(max(n_tokens, 1)) / DENSITY_STEP)) + 1
    edges = -DENSITY_STEP * np.arange(n_bars, -1, -1)
    bars = np.clip(np.searchsorted(edges[1:], logs, side="left"), 0, n_bars - 1)
    return Histogram(edges.tolist(), np.bincount(bars, minlength=n_bars).tolist())
