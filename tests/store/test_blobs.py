import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import TokenSpan
from app.store.blobs import pack_firings, pack_spans, unpack_firings, unpack_spans


@given(st.lists(st.integers(0, 5000), max_size=40))
def test_spans_come_back_as_they_were(lengths: list[int]) -> None:
    spans, at = [], 0
    for length in lengths:
        spans.append(TokenSpan(at, at + length))
        at += length
    assert unpack_spans(pack_spans(spans)) == spans


@given(st.dictionaries(st.integers(0, 32_766), st.floats(1e-3, 1e4), max_size=30))
def test_firings_keep_positions_and_three_digits(found: dict[int, float]) -> None:
    positions = sorted(found)
    values = [found[position] for position in positions]
    back, stored = unpack_firings(pack_firings(positions, values))
    assert list(back) == positions
    assert list(stored) == pytest.approx(values, rel=1e-3, abs=max(values, default=0) * 1e-7)


def test_a_step_of_256_tokens_is_kept() -> None:
    assert unpack_firings(pack_firings([3, 259, 20_000], [1.0, 2.0, 4.0])) == ((3, 259, 20_000), (1.0, 2.0, 4.0))
