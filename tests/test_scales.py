"""Percentiles of live activations, held against counting the feature's own activations."""

import numpy as np
import pytest

from app.scales import Scales

SHARES = np.array([0.25, 0.5, 0.75, 1.0])


def scales(values: list[list[float]], n_active: list[int]) -> Scales:
    return Scales(SHARES, np.array(values), np.array(n_active), n_tokens=1000)


def test_percentiles_meet_the_stored_quantiles_and_are_linear_between() -> None:
    held = scales([[1.0, 2.0, 4.0, 8.0]], [100])
    asked = np.array([0.5, 1.0, 1.5, 2.0, 3.0, 6.0, 7.999, 8.0, 80.0])
    found = held.percentiles(np.zeros(len(asked), dtype=np.int64), asked)
    assert found == pytest.approx([12.5, 25, 37.5, 50, 62.5, 87.5, 99.99375, 100, 100])


def test_equal_quantiles_and_a_silent_feature_give_no_nonsense() -> None:
    held = scales([[3.0, 3.0, 3.0, 3.0], [0.0, 0.0, 0.0, 0.0]], [5, 0])
    found = held.percentiles(np.array([0, 0, 1]), np.array([1.5, 3.0, 2.0]))
    assert found[:2] == pytest.approx([12.5, 100])
    assert np.isnan(found[2])


def test_tokens_as_strong_fall_from_all_active_ones_to_none() -> None:
    held = scales([[1.0, 2.0, 4.0, 8.0], [0.0, 0.0, 0.0, 0.0]], [100, 0])
    found = held.n_as_strong(np.array([0, 0, 0, 1]), np.array([0.0, 2.0, 9.0, 1.0]))
    assert found == pytest.approx([100, 50, 0, 0])
