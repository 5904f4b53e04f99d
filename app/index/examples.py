"""Which sentences are shown for features: the strongest, uniform samples of five intervals, silent ones, contrasts."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from app.domain import INTERVALS, Group
from app.index.draw import DrawOrder
from app.index.recorded import Firings, Recording
from app.index.recording import ROW_BITS, Int64, UInt32
from app.index.statistics import Runs, Statistics, rank_in_group
from app.store.example_packing import ExampleBlock, first_peaks

TOP = 20
SAMPLE = 5  # of each interval, of silent and of contrast sentences
POOL = 1 << (32 - ROW_BITS)  # sentences, the first of the draw, among which contrasts are looked for
_WALK = 16  # candidates that a walk looks at first
_WALKED = 1 << 22  # candidates of all features that are looked at at once
_LIKELY = 24.0  # members of a group whose keys alone make them candidates: fewer than 5 of them are one in a million
_GROUPS = tuple(Group)
_FIRST_INTERVAL = _GROUPS.index(Group.INTERVAL_1)


@dataclass(frozen=True)
class Choice:
    """What examples are chosen from.

    original: (n_windows,) whether a window is the first with its text; repeats count in statistics but are never shown.
    tokens: those that stand in the POOL's sentences, ascending. holders: in which ones, and where first: place in the
    draw * 2^15 + position; those of tokens[i] lie from bounds[i] to bounds[i + 1], ascending.
    """

    order: DrawOrder
    original: NDArray[np.bool_]
    tokens: UInt32
    bounds: Int64
    holders: UInt32


@dataclass(frozen=True)
class _Chosen:
    """Examples of one group. features: counted from the block's first; peaks: -1 where there is none.

    runs: which run each is, -1 where the feature is silent.
    """

    group: Group
    features: Int64
    ranks: Int64
    windows: Int64
    peaks: Int64
    runs: Int64


def prepare(recording: Recording, order: DrawOrder) -> Choice:
    original = recording.is_original
    parts: list[_Holders] = []
    for chunk in recording.chunks:
        windows = chunk.window_of_row()
        places = order.place[windows]
        kept = recording.kept_rows(chunk) & original[windows] & (places < POOL)
        keys = chunk.token_ids[kept].astype(np.uint64) << np.uint64(32)
        keys |= places[kept].astype(np.uint64) << np.uint64(ROW_BITS)
        keys |= chunk.position_of_row()[kept].astype(np.uint64)
        keys.sort()
        sentence = keys >> np.uint64(ROW_BITS)
        keys = keys[np.flatnonzero(np.diff(sentence, prepend=~np.uint64(0)))]
        tokens, counts = np.unique((keys >> np.uint64(32)).astype(np.uint32), return_counts=True)
        parts.append(_Holders(tokens, counts.astype(np.uint16), keys.astype(np.uint32)))
    return Choice(order, original, *_by_token(parts))


@dataclass(frozen=True)
class _Holders:
    """Of a chunk, as in Choice; counts: how many each token has, a chunk's rows at most."""

    tokens: UInt32
    counts: NDArray[np.uint16]
    holders: UInt32


def _by_token(parts: list[_Holders]) -> tuple[UInt32, Int64, UInt32]:
    """tokens, bounds and holders of all parts, each of which is let go once it is copied."""
    tokens = np.unique(np.concatenate([np.zeros(0, np.uint32), *(part.tokens for part in parts)]))
    counts = np.zeros(len(tokens), np.int64)
    for part in parts:
        counts[np.searchsorted(tokens, part.tokens)] += part.counts
    bounds = np.concatenate([[0], np.cumsum(counts)])
    holders = np.empty(bounds[-1], np.uint32)
    filled = bounds[:-1].copy()
    while parts:
        part = parts.pop()
        own, n = np.searchsorted(tokens, part.tokens), part.counts.astype(np.int64)
        shift = filled[own] - (np.cumsum(n) - n)
        holders[np.repeat(shift, n) + np.arange(len(part.holders))] = part.holders
        filled[own] += n
    for begin, end in pairwise(bounds.tolist()):
        holders[begin:end].sort()
    return tokens, bounds, holders


def choose(
    choice: Choice, firings: Firings, runs: Runs, statistics: Statistics, level: NDArray[np.uint8]
) -> ExampleBlock:
    """All examples of a block of features, in the order in which they are stored. level: see summarize."""
    shown = choice.original[runs.windows]
    chosen = [
        _strongest(runs, shown),
        *_samples(choice, firings.first, runs, shown, level),
        _silent(choice, firings.first, runs),
        _contrast(choice, firings.first, runs, statistics),
    ]
    features, ranks, windows, peaks, run = (
        np.concatenate([getattr(some, name) for some in chosen])
        for name in ("features", "ranks", "windows", "peaks", "runs")
    )
    groups = np.repeat([_GROUPS.index(some.group) for some in chosen], [len(some.features) for some in chosen])
    order = np.lexsort((ranks, groups, features))
    run, peaks = run[order], peaks[order]
    fires = run >= 0
    begins, lengths = runs.begins[run[fires]], np.zeros(len(run), np.int64)
    lengths[fires] = own = runs.begins[run[fires] + 1] - begins
    taken = np.arange(int(own.sum())) + np.repeat(begins - (np.cumsum(own) - own), own)
    positions, values = firings.positions[taken], firings.values[taken]
    peaks[fires] = first_peaks(values, positions, own)
    return ExampleBlock(
        features=features[order] + firings.first,
        groups=groups[order],
        ranks=ranks[order],
        sentences=windows[order],
        peaks=peaks,
        lengths=lengths,
        positions=positions,
        values=values,
    )


def _strongest(runs: Runs, shown: NDArray[np.bool_]) -> _Chosen:
    """The order is (-peak, sentence); runs are in the order of sentences already."""
    least = np.zeros(len(runs.bounds) - 1, np.float32)
    for i in np.flatnonzero(np.diff(runs.bounds) > TOP).tolist():
        inside = slice(runs.bounds[i], runs.bounds[i + 1])
        peaks = runs.peaks[inside][shown[inside]]
        if len(peaks) > TOP:
            least[i] = np.partition(peaks, len(peaks) - TOP)[len(peaks) - TOP]
    candidates = np.flatnonzero(shown & (runs.peaks >= np.repeat(least, np.diff(runs.bounds))))
    order = candidates[np.lexsort((-runs.peaks[candidates], runs.features[candidates]))]
    return _running(Group.TOP, runs, order, rank_in_group(runs.features[order]), TOP)


def _samples(
    choice: Choice, first: int, runs: Runs, shown: NDArray[np.bool_], fifths: NDArray[np.uint8]
) -> list[_Chosen]:
    """Of each fifth the SAMPLE sentences whose peak lies in it and whose keys are the smallest."""
    n = len(runs.bounds) - 1
    group = runs.features * np.uint32(INTERVALS) + fifths
    offsets = choice.order.offsets[first : first + n]
    keys = choice.order.keys[runs.windows] + np.repeat(offsets, np.diff(runs.bounds))
    members = np.bincount(group[shown], minlength=n * INTERVALS)
    limit = np.minimum(_LIKELY / np.maximum(members, 1) * 2.0**32, 2.0**32 - 1).astype(np.uint32)
    candidate = shown & (keys <= limit[group])
    few = np.bincount(group[candidate], minlength=len(members)) < np.minimum(members, SAMPLE)
    if few.any():
        candidate |= shown & few[group]
    candidates = np.flatnonzero(candidate)
    order = candidates[np.lexsort((keys[candidates], group[candidates]))]
    rank = rank_in_group(group[order])
    level = group[order] % INTERVALS
    return [
        _running(_GROUPS[_FIRST_INTERVAL + j], runs, order[level == j], rank[level == j], SAMPLE)
        for j in range(INTERVALS)
    ]


def _running(group: Group, runs: Runs, chosen: Int64, ranks: Int64, n: int) -> _Chosen:
    chosen, ranks = chosen[ranks < n], ranks[ranks < n]
    features = runs.features[chosen].astype(np.int64)
    none = np.full(len(chosen), -1)
    return _Chosen(group, features, ranks, runs.windows[chosen].astype(np.int64), none, chosen)


def _silent(choice: Choice, first: int, runs: Runs) -> _Chosen:
    n, n_windows = len(runs.bounds) - 1, len(choice.original)
    enters = choice.order.entries[first : first + n]
    rings = _Rings(np.arange(n), np.zeros(n, np.int64), np.full(n, n_windows), enters)
    features, ranks, places = _walk(choice, runs, rings, lambda place: choice.order.order[place])
    none = np.full(len(features), -1)
    return _Chosen(Group.SILENT, features, ranks, choice.order.order[places], none, none)


def _contrast(choice: Choice, first: int, runs: Runs, statistics: Statistics) -> _Chosen:
    """Sentences that hold the token on which the feature fires most, its first place there being the peak."""
    features = np.flatnonzero(statistics.token_counts[:, 0])
    tokens = statistics.token_ids[features, 0]
    n_windows = max(len(choice.original), 1)
    entries = choice.order.entries[first + features] * min(n_windows, POOL) // n_windows << ROW_BITS
    begins = choice.bounds[np.searchsorted(choice.tokens, tokens)]
    ends = choice.bounds[np.searchsorted(choice.tokens, tokens, side="right")]
    enters = [
        int(choice.holders[begin:end].searchsorted(entry))
        for begin, end, entry in zip(begins.tolist(), ends.tolist(), entries.astype(np.uint32), strict=True)
    ]

    def window(holder: Int64) -> Int64:
        windows: Int64 = choice.order.order[choice.holders[holder] >> ROW_BITS]
        return windows

    rings = _Rings(features, begins, ends - begins, np.array(enters, np.int64))
    found, ranks, holders = _walk(choice, runs, rings, window)
    positions = (choice.holders[holders] & ((1 << ROW_BITS) - 1)).astype(np.int64)
    return _Chosen(Group.CONTRAST, found, ranks, window(holders), positions, np.full(len(found), -1))


@dataclass(frozen=True)
class _Rings:
    """What each feature walks round: items begins[i] to begins[i] + lengths[i] - 1, from the enters[i]th on."""

    features: Int64
    begins: Int64
    lengths: Int64
    enters: Int64


def _walk(choice: Choice, runs: Runs, rings: _Rings, window_of: Callable[[Int64], Int64]) -> tuple[Int64, Int64, Int64]:
    """The first SAMPLE items of each ring whose sentence is no repeat and in which the feature is silent.

    Returns features, ranks and items. Few items are looked at first, and more each time they do not suffice.
    """
    fires = runs.features.astype(np.uint64) << np.uint64(32) | runs.windows
    features, ranks, items = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    n_found = np.zeros(len(rings.features), np.int64)
    rest = np.flatnonzero(rings.lengths)
    done, step = 0, _WALK
    while len(rest):
        steps = done + np.arange(step)
        length = rings.lengths[rest, None]
        item = rings.begins[rest, None] + (rings.enters[rest, None] + steps) % length
        window = window_of(item)
        key = rings.features[rest, None].astype(np.uint64) << np.uint64(32) | window.astype(np.uint64)
        near = np.minimum(np.searchsorted(fires, key), max(len(fires) - 1, 0))
        silent = fires[near] != key if len(fires) else np.ones(key.shape, dtype=bool)
        free = (steps < length) & choice.original[window] & silent
        rank = n_found[rest, None] + np.cumsum(free, axis=1) - 1
        row, column = np.nonzero(free & (rank < SAMPLE))
        features.append(rings.features[rest[row]])
        ranks.append(rank[row, column])
        items.append(item[row, column])
        n_found[rest] += free.sum(axis=1)
        done += step
        rest = rest[(n_found[rest] < SAMPLE) & (done < rings.lengths[rest])]
        step = min(2 * step, max(_WALK, _WALKED // max(len(rest), 1)))
    return np.concatenate(features), np.concatenate(ranks), np.concatenate(items)
