import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.domain import telling_tokens
from app.store.blobs import (
    pack_lengths,
    unpack_ascending,
    unpack_ascending_each,
    unpack_ends,
    unpack_telling_tokens,
    unpack_top_tokens,
)


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


COUNTS = st.tuples(st.integers(1, 9), st.integers(0, 9))


@given(st.lists(COUNTS, max_size=8), st.booleans())
def test_the_most_telling_tokens_are_those_chosen_of_all(counts: list[tuple[int, int]], has_totals: bool) -> None:
    rows = [[f"t{id}", id, n, n + more] if has_totals else [f"t{id}", id, n] for id, (n, more) in enumerate(counts)]
    packed = json.dumps(rows)
    assert unpack_telling_tokens(packed, 99) == telling_tokens(unpack_top_tokens(packed, 99))
