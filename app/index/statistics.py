"""The statistics of a block of features from all their firings, each exactly as docs/definitions.md has it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain import HISTOGRAM_BINS, INTERVALS, QUANTILES, Histogram
from app.index.recorded import Firings
from app.index.recording import Float32, Int64, UInt32

TOP_TOKENS = 10
DENSITY_STEP = 0.25  # decimal orders a bar


@dataclass(frozen=True)
class Runs:
    """Sentences in which a feature fires, by feature, then by sentence; one is a run of firings.

    begins: (n_runs + 1,) where each begins among the firings. features: counted from the block's first.
    bounds: (n_features + 1,) where each feature's runs begin. peaks: the largest activation of each.
    """

    begins: Int64
    bounds: Int64
    features: UInt32
    windows: UInt32
    peaks: Float32


@dataclass(frozen=True)
class Statistics:
    """Of n features. maxima: 0 where a feature never fired, and so all else of it.

    quantiles: (n, 9) at domain.QUANTILES; histogram: (n, 20); interval_tokens, interval_sentences: (n, 5)
    token_ids, token_counts: (n, TOP_TOKENS), the most frequent, the lower id first among equals; count 0: no more
    """

    n_tokens: Int64
    n_sentences: Int64
    maxima: Float32
    means: NDArray[np.float64]
    quantiles: Float32
    histogram: Int64
    interval_tokens: Int64
    interval_sentences: Int64
    token_ids: Int64
    token_counts: Int64


def find_runs(firings: Firings) -> Runs:
    n = len(firings.windows)
    new = np.ones(n, dtype=bool)
    np.not_equal(firings.windows[1:], firings.windows[:-1], out=new[1:])
    fired = np.flatnonzero(np.diff(firings.bounds))
    new[firings.bounds[fired]] = True
    begins = np.flatnonzero(new)
    bounds = np.searchsorted(begins, firings.bounds)
    features = np.repeat(np.arange(firings.n_features, dtype=np.uint32), np.diff(bounds))
    peaks = np.maximum.reduceat(firings.values, begins) if n else firings.values
    return Runs(np.append(begins, n), bounds, features, firings.windows[begins], peaks)


def summarize(firings: Firings, runs: Runs) -> tuple[Statistics, NDArray[np.uint8]]:
    """The statistics, and of each run in which fifth of (0, max] its peak lies, 0 for the weakest."""
    n = firings.n_features
    n_tokens = np.diff(firings.bounds)
    fired = np.flatnonzero(n_tokens)
    maxima, means = np.zeros(n, np.float32), np.zeros(n)
    begins, ends = firings.bounds[fired], firings.bounds[fired + 1]
    ordered = firings.values.copy()
    for i, begin, end in zip(fired.tolist(), begins.tolist(), ends.tolist(), strict=True):
        own = ordered[begin:end]
        own.sort()
        means[i] = own.sum(dtype=np.float64) / (end - begin)
    maxima[fired] = ordered[ends - 1]
    histogram = np.zeros((n, HISTOGRAM_BINS), np.int64)
    interval_tokens = np.zeros((n, INTERVALS), np.int64)
    edges = np.concatenate([upper_edges(maxima, HISTOGRAM_BINS), upper_edges(maxima, INTERVALS)], axis=1)
    for i, begin, end in zip(fired.tolist(), begins.tolist(), ends.tolist(), strict=True):
        below = ordered[begin:end].searchsorted(edges[i], side="right")
        histogram[i], interval_tokens[i] = below[:HISTOGRAM_BINS], below[HISTOGRAM_BINS:]
    histogram[:, 1:] -= histogram[:, :-1].copy()
    interval_tokens[:, 1:] -= interval_tokens[:, :-1].copy()
    # The small subtraction keeps a product such as 0.1 * 30, a hair above 3, from being rounded up to 4.
    ranks = np.maximum(np.ceil(n_tokens[fired, None] * np.array(QUANTILES) - 1e-9).astype(np.int64) - 1, 0)
    quantiles = np.zeros((n, len(QUANTILES)), np.float32)
    quantiles[fired] = ordered[begins[:, None] + ranks]
    level = levels(runs, maxima)
    of_level = np.bincount(level + runs.features * np.int64(INTERVALS), minlength=n * INTERVALS)
    token_ids, token_counts = top_tokens(firings)
    found = Statistics(
        n_tokens=n_tokens,
        n_sentences=np.diff(runs.bounds),
        maxima=maxima,
        means=means,
        quantiles=quantiles,
        histogram=histogram,
        interval_tokens=interval_tokens,
        interval_sentences=of_level.reshape(n, INTERVALS),
        token_ids=token_ids,
        token_counts=token_counts,
    )
    return found, level


def upper_edges(maxima: Float32, n: int) -> Float32:
    """(n_features, n): the largest float32 that lies in the j-th of n equal widths of (0, max], weakest first.

    A value belongs to the first width whose upper edge, (j + 1) * max / n in float64, it does not exceed.
    """
    exact = np.arange(1, n + 1) * maxima.astype(np.float64)[:, None] / n
    edges = exact.astype(np.float32)
    above = edges.astype(np.float64) > exact
    edges[above] = np.nextafter(edges[above], np.float32(0))
    return edges


def levels(runs: Runs, maxima: Float32) -> NDArray[np.uint8]:
    level = np.zeros(len(runs.peaks), np.uint8)
    fifths, n = upper_edges(maxima, INTERVALS), np.diff(runs.bounds)
    for j in range(INTERVALS - 1):
        level += runs.peaks > np.repeat(fifths[:, j], n)
    return level


def top_tokens(firings: Firings) -> tuple[Int64, Int64]:
    """(n, TOP_TOKENS) ids and counts of the tokens on which each feature fires most."""
    n = firings.n_features
    bits = int(firings.token_ids.max(initial=0)).bit_length()
    kind: Any = np.uint32 if bits + n.bit_length() <= 32 else np.uint64  # the shorter, the faster sorted
    keys = np.repeat(np.arange(n, dtype=kind) << kind(bits), np.diff(firings.bounds))
    keys |= firings.token_ids
    keys.sort()
    begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else np.zeros(0, np.int64)
    counts = np.diff(np.append(begins, len(keys)))
    keys = keys[begins]
    of_feature = (keys >> kind(bits)).astype(np.int64)
    # Only those that reach the count of their feature's tenth need be sorted.
    reach = np.searchsorted(of_feature, np.arange(n + 1))
    least = np.ones(n, np.int64)
    for i in np.flatnonzero(np.diff(reach) > TOP_TOKENS).tolist():
        own = counts[reach[i] : reach[i + 1]]
        least[i] = np.partition(own, len(own) - TOP_TOKENS)[len(own) - TOP_TOKENS]
    candidates = np.flatnonzero(counts >= least[of_feature])
    order = candidates[np.lexsort((-counts[candidates], of_feature[candidates]))]
    rank = rank_in_group(of_feature[order])
    order, rank = order[rank < TOP_TOKENS], rank[rank < TOP_TOKENS]
    token_ids, token_counts = np.zeros((n, TOP_TOKENS), np.int64), np.zeros((n, TOP_TOKENS), np.int64)
    token_ids[of_feature[order], rank] = (keys[order] & kind((1 << bits) - 1)).astype(np.int64)
    token_counts[of_feature[order], rank] = counts[order]
    return token_ids, token_counts


def rank_in_group(groups: NDArray[np.integer]) -> Int64:
    """groups: (n,), equal ones side by side -> each one's place in its group, from 0."""
    if len(groups) == 0:
        return np.zeros(0, np.int64)
    begins = np.flatnonzero(np.concatenate([[True], groups[1:] != groups[:-1]]))
    return np.arange(len(groups)) - np.repeat(begins, np.diff(np.append(begins, len(groups))))


def density_histogram(n_active: Sequence[int] | Int64, n_tokens: int) -> Histogram:
    """Live features by log10 of their density, DENSITY_STEP a bar, from the rarest that can be to 0."""
    live = np.asarray(n_active, dtype=np.float64)
    logs = np.log10(live[live > 0] / max(n_tokens, 1))
    n_bars = int(np.floor(np.log10(max(n_tokens, 1)) / DENSITY_STEP)) + 1
    edges = -DENSITY_STEP * np.arange(n_bars, -1, -1)
    bars = np.clip(np.searchsorted(edges[1:], logs, side="left"), 0, n_bars - 1)
    return Histogram(edges.tolist(), np.bincount(bars, minlength=n_bars).tolist())
