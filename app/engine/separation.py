"""Finding features by examples: which fire more in some texts than in others."""

from collections.abc import Sequence
from math import comb
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.engine.live_texts import KeptActivations
from app.live import SeparatingFeature, Separation

Peaks: TypeAlias = NDArray[np.float32]  # (n_texts, n_features), each feature's largest activation in each text


def peaks_of(texts: Sequence[KeptActivations], n_features: int) -> Peaks:
    peaks = np.zeros((len(texts), n_features), np.float32)
    for row, text in zip(peaks, texts, strict=True):
        row[text.features] = text.peaks
    return peaks


def separate(having: Peaks, lacking: Peaks, n: int) -> Separation:
    """The n features with the largest AUC; among equals the larger difference of mean peaks, over the largest peak."""
    scores = auc(having, lacking)
    means = having.mean(axis=0), lacking.mean(axis=0)
    largest = np.maximum(having.max(axis=0), lacking.max(axis=0))
    firing = np.flatnonzero(largest > 0)
    margins = (means[0] - means[1])[firing] / largest[firing]
    order = firing[np.lexsort((firing, -margins, -scores[firing]))][:n]
    return Separation(
        n_with=len(having),
        n_without=len(lacking),
        n_compared=len(firing),
        by_chance=len(firing) / comb(len(having) + len(lacking), len(having)),
        features=[
            SeparatingFeature(
                index=int(feature),
                auc=float(scores[feature]),
                mean_with=float(means[0][feature]),
                mean_without=float(means[1][feature]),
                n_with=int((having[:, feature] > 0).sum()),
                n_without=int((lacking[:, feature] > 0).sum()),
            )
            for feature in order
        ],
    )


def auc(having: Peaks, lacking: Peaks) -> NDArray[np.float64]:
    """(n_features,): Mann and Whitney's U over the number of pairs."""
    wins = np.zeros(having.shape[1])
    for peaks in lacking:  # one text at a time: the whole (n_with, n_without, n_features) would be large
        wins += (having > peaks).sum(axis=0) + 0.5 * (having == peaks).sum(axis=0)
    return wins / (len(having) * len(lacking))
