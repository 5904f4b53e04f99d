"""The live side: any text through model and SAE now, the strongest features kept per token and overall.

In two halves: tensors, for windows of several requests at once, in the model's thread; and what is made of them for
one request, in its own.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.engine.loaded_models import Loaded
from app.engine.tokens import Window
from app.live import FeatureActivation, LiveFeature, LiveText, LiveToken, Ranking
from app.scales import Scales

Ids: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float32]
STRONGEST = 20  # features over a whole text
BATCH_TOKENS = 2048  # positions of one forward, padding included
BATCH_ACTIVATIONS = 2**26  # entries of one encode's result: 256 MB


@dataclass(frozen=True)
class Piece:
    """Windows of one request that run in one step. top_k, followed: as asked for the request."""

    windows: Sequence[Window]
    top_k: int
    followed: Sequence[int]

    @property
    def n_tokens(self) -> int:
        """Positions that it takes in a batch, padding included."""
        return len(self.windows) * (1 + max(len(window.token_ids) for window in self.windows))


@dataclass(frozen=True)
class WindowActivations:
    """What is kept of one window's (n_tokens, n_features) activations.

    top_features, top_values: (n_tokens, k), strongest first, 0 where fewer fire; followed: (n_tokens, n_followed)
    peaks, places, sums, counts: (n_features,): largest activation, its token (the first of equals), sum, active tokens;
    0 where a feature does not fire
    """

    top_features: Ids
    top_values: Floats
    followed: Floats
    peaks: Floats
    places: Ids
    sums: Floats
    counts: Ids


def most_tokens(loaded: Loaded) -> int:
    """Tokens of one step: bounded by the forward, and by the size of the encode's result."""
    return max(1, min(BATCH_TOKENS, BATCH_ACTIVATIONS // loaded.sae.n_features))


def pieces(windows: Sequence[Window], top_k: int, followed: Sequence[int], most: int) -> Iterator[Piece]:
    """The windows of a text in pieces of at most `most` positions; a window above that is a piece of its own."""
    n = max(1, most // (1 + max(len(window.token_ids) for window in windows)))
    for first in range(0, len(windows), n):
        yield Piece(windows[first : first + n], top_k, followed)


@torch.inference_mode()
def run_pieces(loaded: Loaded, pieces: Sequence[Piece]) -> list[list[WindowActivations]]:
    """The windows of all pieces, in as few forwards as there are groups of about one length.

    Padding stands on the right, so no window's result depends on its neighbours but for the rounding of sums.
    """
    asked = [(piece, window) for piece in pieces for window in piece.windows]
    found: dict[int, WindowActivations] = {}
    for group in of_about_one_length([len(window.token_ids) for _, window in asked]):
        acts = encode_windows(loaded, [asked[place][1] for place in group])
        for place, held in zip(group, acts, strict=True):
            found[place] = _reduce(held, asked[place][0])
    places = iter(range(len(asked)))
    return [[found[next(places)] for _ in piece.windows] for piece in pieces]


def of_about_one_length(lengths: Sequence[int]) -> list[list[int]]:
    """Places in groups, longest first, such that no row of a group is padded by more than half of it."""
    groups: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if groups and lengths[place] * 2 >= lengths[groups[-1][0]]:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


@torch.inference_mode()
def encode_windows(loaded: Loaded, windows: Sequence[Window]) -> list[Tensor]:
    """(n_tokens, n_features) float32 activations of each window, BOS left out, in one forward."""
    bos = loaded.bos
    longest = len(bos) + max(len(window.token_ids) for window in windows)
    ids = torch.zeros(len(windows), longest, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, window in enumerate(windows):
        held = [*bos, *window.token_ids]
        ids[row, : len(held)] = torch.tensor(held)
        mask[row, : len(held)] = 1
    device = loaded.model.device
    stream = loaded.model.capture(ids.to(device), mask.to(device), loaded.hook)
    rows = [stream[row, len(bos) : len(bos) + len(window.token_ids)] for row, window in enumerate(windows)]
    acts = loaded.sae.encode(torch.cat(rows)).float()
    return list(torch.split(acts, [len(window.token_ids) for window in windows]))


def _reduce(acts: Tensor, piece: Piece) -> WindowActivations:
    """acts: (n_tokens, n_features), few of which fire: what does is found once, and the rest made of it.

    At 32 tokens of 24,576 features this takes a fourth of the time of four passes over all of them.
    """
    held = acts.cpu().numpy()
    n_tokens, n_features = held.shape
    fired = np.flatnonzero(held > 0)
    tokens, features = np.divmod(fired, n_features)
    values = held.reshape(-1)[fired]

    k = min(piece.top_k, n_features)
    top_features, top_values = np.zeros((n_tokens, k), np.int64), np.zeros((n_tokens, k), np.float32)
    order = np.lexsort((features, -values, tokens))
    rank = np.arange(len(order)) - np.searchsorted(tokens, tokens)  # tokens ascend, in this order too
    strong = rank < k
    top_features[tokens[strong], rank[strong]] = features[order][strong]
    top_values[tokens[strong], rank[strong]] = values[order][strong]

    peaks, places = np.zeros(n_features, np.float32), np.zeros(n_features, np.int64)
    order = np.lexsort((tokens, -values, features))
    first = order[np.flatnonzero(np.diff(features[order], prepend=-1))]
    peaks[features[first]], places[features[first]] = values[first], tokens[first]
    return WindowActivations(
        top_features=top_features,
        top_values=top_values,
        followed=held[:, list(piece.followed)],
        peaks=peaks,
        places=places,
        sums=np.bincount(features, weights=values, minlength=n_features).astype(np.float32),
        counts=np.bincount(features, minlength=n_features),
    )


def live_text(
    text: str,
    windows: Sequence[Window],
    found: Sequence[WindowActivations],
    followed: Sequence[int],
    scales: Scales,
    ranking: Ranking,
) -> LiveText:
    """One text's windows put together, every value with its percentile. found: one per window."""
    top_features = np.concatenate([window.top_features for window in found])
    top_values = np.concatenate([window.top_values for window in found])
    wanted = np.concatenate([window.followed for window in found])
    ids = np.broadcast_to(np.array(followed, dtype=np.int64), wanted.shape)
    strongest = _activations(scales, top_features, top_values)
    asked = _activations(scales, ids, wanted)
    n_firing = (top_values > 0).sum(axis=1).tolist()  # the strongest stand first
    spans = [(w.offset + span.start, w.offset + span.end) for w in windows for span in w.spans]
    tokens = [
        LiveToken(position, text[start:end], start, end, strongest[position][: n_firing[position]], asked[position])
        for position, (start, end) in enumerate(spans)
    ]
    return LiveText(text, tokens, ranked(found, scales, ranking))


def text_peaks(texts: Sequence[Sequence[WindowActivations]]) -> Floats:
    """(n_texts, n_features): each feature's largest activation in each text. texts: their windows."""
    return np.stack([np.stack([window.peaks for window in text]).max(axis=0) for text in texts])


def ranked(found: Sequence[WindowActivations], scales: Scales, ranking: Ranking) -> list[LiveFeature]:
    """The first STRONGEST features over all windows, by the ranking, then by their largest activation."""
    firsts = np.cumsum([0, *(len(window.top_values) for window in found)])[:-1]
    peaks_by_window = np.stack([window.peaks for window in found])
    best = peaks_by_window.argmax(axis=0)
    columns = np.arange(peaks_by_window.shape[1])
    peaks = peaks_by_window[best, columns].astype(np.float64)
    places = np.stack([window.places for window in found])[best, columns] + firsts[best]
    sums = np.stack([window.sums for window in found]).astype(np.float64).sum(axis=0)
    counts = np.stack([window.counts for window in found]).sum(axis=0)

    firing = np.flatnonzero(peaks > 0)
    match ranking:
        case Ranking.MAX:
            order = np.lexsort((firing, -peaks[firing]))
        case Ranking.SUM:
            order = np.lexsort((firing, -sums[firing]))
        case Ranking.RARITY:
            beyond = peaks[firing] / np.maximum(scales.maxima[firing], 1e-30)
            as_strong = scales.n_as_strong(firing, peaks[firing])
            order = np.lexsort((firing, -beyond, np.maximum(as_strong, 1)))
    features = firing[order[:STRONGEST]]
    shares = _percentiles(scales, features, peaks[features])
    return [
        LiveFeature(
            FeatureActivation(int(f), int(places[f]), float(peaks[f]), _known(float(share))),
            float(sums[f]),
            int(counts[f]),
            float(n),
        )
        for f, share, n in zip(features, shares, scales.n_as_strong(features, peaks[features]), strict=True)
    ]


def _percentiles(scales: Scales, features: Ids, values: NDArray[np.floating]) -> NDArray[np.float64]:
    """For features and values of any one shape, in that shape."""
    flat = scales.percentiles(features.reshape(-1), values.reshape(-1).astype(np.float64))
    return flat.reshape(values.shape)


def _activations(scales: Scales, features: Ids, values: Floats) -> list[list[FeatureActivation]]:
    """Each token's, as plain numbers. features, values: (n_tokens, n)."""
    # Whole arrays become lists at once: an array for each token would take longer than what is made of it.
    rows = zip(features.tolist(), values.tolist(), _percentiles(scales, features, values).tolist(), strict=True)
    return [
        [FeatureActivation(feature, position, value, _known(share)) for feature, value, share in zip(*row, strict=True)]
        for position, row in enumerate(rows)
    ]


def _known(share: float) -> float | None:
    return None if math.isnan(share) else share
