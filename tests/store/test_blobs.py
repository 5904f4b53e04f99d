import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.store.blobs import pack_lengths, unpack_ascending, unpack_ends


@given(st.lists(st.integers(0, 5000), max_size=40))
def test_spans_end_where_they_did(lengths: list[int]) -> None:
    assert unpack_ends(pack_lengths(lengths)) == list(np.cumsum(lengths))


@given(st.sets(st.integers(0, 200_000), max_size=40))
def test_ascending_numbers_come_back_as_they_were(numbers: set[int]) -> None:
    ascending = sorted(numbers)
    steps = [after - before for before, after in zip([0, *ascending], ascending, strict=False)]
    assert unpack_ascending(pack_lengths(steps)) == ascending
