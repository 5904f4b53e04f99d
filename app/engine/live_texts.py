"""A live text as people see it: what model and SAE gave for it, each value held against the feature's own activations.

The server makes this of what the process that runs the models sends; so no torch here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.live import FeatureActivation, LiveFeature, LiveText, LiveToken, Ranking
from app.scales import Scales

Ids: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float32]
STRONGEST = 20  # features over a whole text


@dataclass(frozen=True)
class Firings:
    """Every activation above 0: its token, its feature, and its value, each (n,)."""

    tokens: Ids
    features: Ids
    values: Floats

    def along(self, feature: int, n_tokens: int) -> Floats:
        """(n_tokens,), the feature's activations."""
        its = self.features == feature
        found = np.zeros(n_tokens, np.float32)
        found[self.tokens[its]] = self.values[its]
        return found


@dataclass(frozen=True)
class KeptActivations:
    """What is kept of the (n_tokens, n_features) activations of a window, or of a whole text.

    top_features, top_values: (n_tokens, k), strongest first, 0 where fewer fire; followed: (n_tokens, n_followed)
    features: (n_firing,), ascending; of each of these, in peaks, places, sums and counts: its largest activation, the
    token of that (the first of equals), the sum over tokens, and how many tokens it is active on
    firings: None where they were not asked for, or of a text with too many
    """

    top_features: Ids
    top_values: Floats
    followed: Floats
    features: Ids
    peaks: Floats
    places: Ids
    sums: NDArray[np.float64]
    counts: Ids
    firings: Firings | None = None


@dataclass(frozen=True)
class RunText:
    """starts, ends: of each token, in the text."""

    starts: Sequence[int]
    ends: Sequence[int]
    kept: KeptActivations


def joined(windows: Sequence[KeptActivations]) -> KeptActivations:
    """A text's windows as one."""
    if len(windows) == 1:
        return windows[0]
    firsts = np.cumsum([0, *(len(window.top_values) for window in windows)])
    features = np.concatenate([window.features for window in windows])
    peaks = np.concatenate([window.peaks for window in windows])
    places = np.concatenate([window.places + first for window, first in zip(windows, firsts, strict=False)])
    order = np.lexsort((places, -peaks, features))
    best = order[np.flatnonzero(np.diff(features[order], prepend=-1))]
    found, row = np.unique(features, return_inverse=True)
    sums, counts = np.zeros(len(found)), np.zeros(len(found), np.int64)
    np.add.at(sums, row, np.concatenate([window.sums for window in windows]))
    np.add.at(counts, row, np.concatenate([window.counts for window in windows]))
    return KeptActivations(
        top_features=np.concatenate([window.top_features for window in windows]),
        top_values=np.concatenate([window.top_values for window in windows]),
        followed=np.concatenate([window.followed for window in windows]),
        features=found,
        peaks=peaks[best],
        places=places[best],
        sums=sums,
        counts=counts,
        firings=_joined_firings([window.firings for window in windows], firsts.tolist()),
    )


def _joined_firings(windows: Sequence[Firings | None], firsts: Sequence[int]) -> Firings | None:
    """firsts: of each window, its first token's place in the text."""
    every = [window for window in windows if window is not None]
    if len(every) < len(windows):
        return None
    return Firings(
        np.concatenate([window.tokens + first for window, first in zip(every, firsts, strict=False)]),
        np.concatenate([window.features for window in every]),
        np.concatenate([window.values for window in every]),
    )


@dataclass(frozen=True)
class TokenRows:
    """For every token of a text a row: features, their activations, and the percentiles of these (NaN: none)."""

    features: Sequence[Sequence[int]]
    activations: Sequence[Sequence[float]]
    percentiles: Sequence[Sequence[float]]


def strongest(kept: KeptActivations, scales: Scales) -> TokenRows:
    """Each token's strongest features, strongest first, and 0 after the last that fires."""
    return _rows(kept.top_features, kept.top_values, scales)


def followed_rows(kept: KeptActivations, followed: Sequence[int], scales: Scales) -> TokenRows:
    """The features asked for, in the order asked, silent or not."""
    return _rows(np.broadcast_to(np.array(followed, dtype=np.int64), kept.followed.shape), kept.followed, scales)


def _rows(features: Ids, values: Floats, scales: Scales) -> TokenRows:
    """features, values: (n_tokens, n)"""
    flat = scales.percentiles(features.reshape(-1), values.reshape(-1).astype(np.float64))
    # Whole arrays become lists at once: an array for each token would take longer than what is made of it.
    return TokenRows(features.tolist(), values.tolist(), flat.reshape(len(values), -1).tolist())


def live_text(text: str, run: RunText, followed: Sequence[int], scales: Scales, ranking: Ranking) -> LiveText:
    """Every value with its percentile. followed: as asked for the text."""
    strong = _activations(strongest(run.kept, scales))
    asked = _activations(followed_rows(run.kept, followed, scales))
    n_firing = n_shown(run.kept)
    tokens = [
        LiveToken(position, text[start:end], start, end, strong[position][: n_firing[position]], asked[position])
        for position, (start, end) in enumerate(zip(run.starts, run.ends, strict=True))
    ]
    first = ranked(run.kept, scales, ranking)
    if run.kept.firings is None or not first:
        return LiveText(text, tokens, first)
    return LiveText(text, tokens, first, run.kept.firings.along(first[0].peak.index, len(tokens)).tolist())


def n_shown(kept: KeptActivations) -> list[int]:
    """How many of each token's strongest features fire: those stand first."""
    counts: list[int] = (kept.top_values > 0).sum(axis=1).tolist()
    return counts


def ranked(kept: KeptActivations, scales: Scales, ranking: Ranking) -> list[LiveFeature]:
    """The first STRONGEST features over the whole text, by the ranking, then by their largest activation."""
    features, peaks = kept.features, kept.peaks.astype(np.float64)
    match ranking:
        case Ranking.MAX:
            order = np.lexsort((features, -peaks))
        case Ranking.SUM:
            order = np.lexsort((features, -kept.sums))
        case Ranking.RARITY:
            beyond = peaks / np.maximum(scales.maxima[features], 1e-30)
            order = np.lexsort((features, -beyond, np.maximum(scales.n_as_strong(features, peaks), 1)))
    first = order[:STRONGEST]
    features, peaks = features[first], peaks[first]
    shares = scales.percentiles(features, peaks)
    as_strong = scales.n_above(features, shares)
    at = zip(features.tolist(), kept.places[first].tolist(), peaks.tolist(), shares.tolist(), strict=True)
    over_text = zip(kept.sums[first].tolist(), kept.counts[first].tolist(), as_strong.tolist(), strict=True)
    return [
        LiveFeature(FeatureActivation(feature, place, peak, _known(share)), total, n_tokens, n)
        for (feature, place, peak, share), (total, n_tokens, n) in zip(at, over_text, strict=True)
    ]


def _activations(rows: TokenRows) -> list[list[FeatureActivation]]:
    columns = zip(rows.features, rows.activations, rows.percentiles, strict=True)
    return [
        [FeatureActivation(feature, position, value, _known(share)) for feature, value, share in zip(*row, strict=True)]
        for position, row in enumerate(columns)
    ]


def _known(share: float) -> float | None:
    return None if math.isnan(share) else share
