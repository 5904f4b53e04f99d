import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.store.blobs import pack_lengths, unpack_ends, unpack_firings
from app.store.packing import pack_runs


def packed(positions: list[int], values: list[float]) -> bytes:
    begins, ends = np.array([0]), np.array([len(positions)])
    blobs, _ = pack_runs(np.array(positions), np.array(values, np.float32), begins, ends)
    return blobs[0]


@given(st.lists(st.integers(0, 5000), max_size=40))
def test_spans_end_where_they_did(lengths: list[int]) -> None:
    assert unpack_ends(pack_lengths(lengths)) == list(np.cumsum(lengths))


FLOATS = st.floats(2.0**-126, 2.0**127, width=32)


@given(st.lists(st.dictionaries(st.integers(0, 32_766), FLOATS, min_size=1, max_size=30), min_size=1, max_size=5))
def test_firings_keep_positions_and_three_digits(sentences: list[dict[int, float]]) -> None:
    positions = [position for found in sentences for position in sorted(found)]
    values = np.array([found[position] for found in sentences for position in sorted(found)], np.float32)
    ends = np.cumsum([len(found) for found in sentences])
    begins = ends - [len(found) for found in sentences]
    blobs, peaks = pack_runs(np.array(positions), values, begins, ends)
    for blob, peak, begin, end in zip(blobs, peaks, begins, ends, strict=True):
        back, stored = unpack_firings(blob)
        own = values[begin:end].astype(float)
        assert list(back) == positions[begin:end]
        assert peak == positions[begin + int(np.argmax(own))]
        # Three digits down to nine orders below the peak, whatever its size; only values near float32's own end lose.
        assert list(stored) == pytest.approx(own, rel=5e-4, abs=max(own.max() * 2e-9, 1e-44))


def test_a_step_of_256_tokens_is_kept() -> None:
    assert unpack_firings(packed([3, 259, 20_000], [1.0, 2.0, 4.0])) == ((3, 259, 20_000), (1.0, 2.0, 4.0))
