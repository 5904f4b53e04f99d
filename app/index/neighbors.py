"""Neighbours of every feature: by decoder direction, and by the sentences in which both fire."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.domain import Neighbor
from app.index.recording import Int64

NEIGHBORS = 10
_DIRECTIONS = 2048  # features whose cosines with all others are held at once
_PAIRS = 16_000_000  # pair counts held at once
_SENTENCES = 2048  # sentences whose indicators are held at once


@torch.inference_mode()
def direction_neighbors(decoder: Tensor) -> Iterator[tuple[list[Neighbor], list[Neighbor]]]:
    """decoder: (n_features, d). For each feature the most similar and the most opposite by cosine, itself left out."""
    unit = decoder.float()
    unit = unit / unit.norm(dim=1, keepdim=True).clamp(min=1e-30)
    k = min(NEIGHBORS, len(unit) - 1)
    for first in range(0, len(unit), _DIRECTIONS):
        cosines = unit[first : first + _DIRECTIONS] @ unit.T
        rows = torch.arange(len(cosines))
        cosines[rows, rows + first] = -torch.inf
        high, similar = cosines.topk(k, dim=1)
        cosines[rows, rows + first] = torch.inf
        low, opposite = cosines.topk(k, dim=1, largest=False)
        for row in range(len(cosines)):
            yield (
                _neighbors(similar[row].tolist(), high[row].clamp(-1, 1).tolist()),
                _neighbors(opposite[row].tolist(), low[row].clamp(-1, 1).tolist()),
            )


def coactive_neighbors(sentences: NDArray[np.uint32], bounds: Int64, n_sentences: int) -> Iterator[list[Neighbor]]:
    """For each feature those that fire most often in the same sentences, by Jaccard, the lower index first.

    sentences[bounds[f]:bounds[f + 1]]: those where feature f fires. Counts of shared sentences come from products of
    0-1 matrices, exact in float32 below 2^24 sentences a chunk.
    """
    n_features = len(bounds) - 1
    n_firing = np.diff(bounds)
    features = np.repeat(np.arange(n_features, dtype=np.uint32), n_firing)
    order = np.argsort(sentences, kind="stable")
    by_sentence, of_sentence = sentences[order].astype(np.int64), features[order].astype(np.int64)
    width = max(1, _PAIRS // max(n_features, 1))
    for first in range(0, n_features, width):
        last = min(first + width, n_features)
        both = np.zeros((last - first, n_features), np.float64)
        for begin in range(0, n_sentences, _SENTENCES):
            low, high = np.searchsorted(by_sentence, [begin, begin + _SENTENCES])
            fires = np.zeros((min(_SENTENCES, n_sentences - begin), n_features), np.float32)
            fires[by_sentence[low:high] - begin, of_sentence[low:high]] = 1
            both += fires[:, first:last].T @ fires
        either = n_firing[first:last, None] + n_firing[None, :] - both
        jaccard = both / np.maximum(either, 1)
        jaccard[np.arange(last - first), np.arange(first, last)] = 0
        # A stable sort of the negated values keeps the lower index first among equals.
        best = np.argsort(-jaccard, axis=1, kind="stable")[:, :NEIGHBORS]
        values = np.take_along_axis(jaccard, best, axis=1)
        for row in range(last - first):
            fired = values[row] > 0
            yield _neighbors(best[row][fired].tolist(), values[row][fired].tolist())


def _neighbors(indices: Sequence[int], values: Sequence[float]) -> list[Neighbor]:
    return [Neighbor(index, value) for index, value in zip(indices, values, strict=True)]
