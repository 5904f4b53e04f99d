import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.store.blobs import pack_lengths, unpack_ascending, unpack_ascending_each, unpack_ends


@given(st.lists(st.integers(0, 5000), max_size=40))
def test_spans_end_where_they_did(lengths: list[int]) -> None:
    assert unpack_ends(pack_lengths(lengths)) == list(np.cumsum(lengths))


@given(st.sets(st.integers(0, 200_000), max_size=40))
def test_ascending_numbers_come_back_as_they_were(numbers: set[int]) -> None:
    ascending = sorted(numbers)
    steps = [after - before for before, after in zip([0, *ascending], ascending, strict=False)]
    assert unpack_ascending(pack_lengths(steps)) == ascending


@given(st.lists(st.sets(st.integers(0, 2**31), max_size=20), max_size=10))
def test_ascending_numbers_of_several_come_back_as_of_each(several: list[set[int]]) -> None:
    packed = [pack_lengths(np.diff(sorted(some), prepend=0).tolist()) for some in several]
    numbers, n_each = unpack_ascending_each(packed)
    assert numbers.tolist() == [number for some in several for number in sorted(some)]
    assert n_each.tolist() == [len(some) for some in several]
    assert [unpack_ascending(some) for some in packed] == [sorted(some) for some in several]
