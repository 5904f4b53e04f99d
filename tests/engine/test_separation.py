"""Finding by examples: AUC against counting the pairs, and what chance alone would give."""

import numpy as np
import pytest

from app.engine.separation import auc, separate


def test_auc_is_the_share_of_pairs_won_with_ties_half() -> None:
    draw = np.random.default_rng(0)
    having = draw.integers(0, 4, (5, 30)).astype(np.float32)
    lacking = draw.integers(0, 4, (7, 30)).astype(np.float32)
    for feature, score in enumerate(auc(having, lacking)):
        pairs = [(one > other) + 0.5 * (one == other) for one in having[:, feature] for other in lacking[:, feature]]
        assert score == pytest.approx(sum(pairs) / len(pairs))


def test_the_best_come_first_and_silent_ones_not_at_all() -> None:
    having = np.array([[0, 2, 1, 5, 0.0], [0, 2, 0, 4, 0.0]], dtype=np.float32)
    lacking = np.array([[0, 0, 1, 0, 3.0], [0, 1, 1, 0, 3.0]], dtype=np.float32)
    found = separate(having, lacking, 10)
    assert [feature.index for feature in found.features] == [3, 1, 2, 4]
    assert [feature.auc for feature in found.features] == [1, 1, 0.25, 0]
    assert (found.features[0].n_with, found.features[0].n_without) == (2, 0)
    assert found.n_compared == 4
    assert found.by_chance == pytest.approx(4 / 6)
