from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import Group
from app.store.blobs import unpack_ascending
from app.store.example_blobs import PackedExamples
from app.store.example_packing import ExampleBlock, StrongestExamples, first_peaks

# Feature, group, sentence, the peak of one that does not fire, and activations by position.
Shown: TypeAlias = tuple[int, int, int, int, dict[int, float]]
FLOATS = st.floats(2.0**-126, 2.0**127, width=32)
FIRINGS = st.dictionaries(st.integers(0, 32_766), FLOATS, max_size=30)
EXAMPLES = st.tuples(
    st.integers(0, 3), st.integers(0, len(Group) - 1), st.integers(0, 2**32 - 1), st.integers(-1, 32_766), FIRINGS
)


def block(shown: list[Shown]) -> ExampleBlock:
    """shown: in the order of features and groups."""
    fired = [sorted(activations.items()) for *_, activations in shown]
    lengths = np.array([len(firings) for firings in fired])
    positions = np.array([position for firings in fired for position, _ in firings], np.int64)
    values = np.array([value for firings in fired for _, value in firings], np.float32)
    peaks = np.array([peak for _, _, _, peak, _ in shown])
    peaks[lengths > 0] = first_peaks(values, positions, lengths[lengths > 0])
    ranks = [sum(before[:2] == one[:2] for before in shown[:i]) for i, one in enumerate(shown)]
    features, groups, sentences = (np.array([one[k] for one in shown]) for k in range(3))
    return ExampleBlock(features, groups, np.array(ranks), sentences, peaks, lengths, positions, values)


@given(st.lists(EXAMPLES, min_size=1, max_size=12))
def test_examples_come_back_in_order_with_positions_peaks_and_three_digits(shown: list[Shown]) -> None:
    shown.sort(key=lambda one: one[:2])
    back = {feature: PackedExamples(packed) for feature, packed in block(shown).rows()}
    assert list(back) == sorted({feature for feature, *_ in shown})
    for feature, packed in back.items():
        own = [one for one in shown if one[0] == feature]
        assert packed.sentences == tuple(sentence for _, _, sentence, *_ in own)
        assert packed.counts == tuple(sum(one[1] == group for one in own) for group in range(len(Group)))
        for i, (_, group, sentence, peak, activations) in enumerate(own):
            found = packed.example(i)
            assert (packed.group_of(i), found.sentence) == (group, sentence)
            assert list(found.activations) == sorted(activations)
            largest = max(activations.values(), default=0.0)
            at_peak = [position for position in sorted(activations) if activations[position] == largest]
            assert found.peak == (at_peak[0] if at_peak else None if peak < 0 else peak)
            if found.peak is not None and activations:
                assert found.activations[found.peak] == pytest.approx(largest, rel=1e-6)
            # Three digits down to nine orders below the peak, whatever its size; only values near float32's own end
            # lose.
            kept = [activations[position] for position in found.activations]
            assert list(found.activations.values()) == pytest.approx(kept, rel=5e-4, abs=max(largest * 2e-9, 1e-44))


def test_the_peak_is_told_from_a_value_that_the_half_floats_do_not_tell_from_it() -> None:
    (packed,) = (packed for _, packed in block([(0, 0, 7, -1, {2: 0.9999, 5: 1.0, 9: 1.0})]).rows())
    assert PackedExamples(packed).example(0).peak == 5


def test_sentences_are_searched_in_the_order_of_their_best_rank() -> None:
    found = [(4, 9, 1), (4, 2, 0), (7, 2, 1), (3, 9, 0), (9, 1, 0), (4, 200, 5), (4, 3_000_000, 6)]
    searched = [
        (sentence, unpack_ascending(features)) for sentence, features in StrongestExamples.of(found).by_sentence()
    ]
    assert searched == [(3, [9]), (4, [2, 9, 200, 3_000_000]), (9, [1]), (7, [2])]
