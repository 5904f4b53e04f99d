import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from app.engine.extremes import largest, places_above, strongest

ROWS = 5


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(1, 40), st.sampled_from([1, 3, 1000]), st.integers(0, 2**32 - 1))
def test_the_strongest_are_those_of_a_sort_whatever_ties_there_are(m: int, k: int, n_values: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randint(-n_values, n_values + 1, (ROWS, m), generator=draw).float() / 7
    expected = x.sort(dim=1, descending=True).values[:, :k]
    for values, columns in (strongest(x, k), largest(x, k)):
        assert torch.equal(values.sort(dim=1, descending=True).values, expected)
        assert torch.equal(x.gather(1, columns), values)
        assert all(len(set(row)) == len(row) for row in columns.tolist())


def test_of_equal_values_the_lower_column_is_first() -> None:
    x = torch.zeros(1, 4096)
    x[0, [9, 700, 4000]] = torch.tensor([1.0, 2.0, 1.0])
    assert largest(x, 3)[1].tolist() == [[700, 9, 4000]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_short_floats_give_their_own_values(dtype: torch.dtype) -> None:
    x = torch.randn(ROWS, 4096, generator=torch.Generator().manual_seed(0)).to(dtype)
    values, columns = strongest(x, 32)
    assert values.dtype == dtype
    assert torch.equal(x.gather(1, columns), values)
    assert torch.equal(values.sort(dim=1).values, x.topk(32, dim=1).values.sort(dim=1).values)


def test_places_are_found_whatever_limit_and_however_many_rows() -> None:
    x = torch.randn(600, 2000, generator=torch.Generator().manual_seed(0))
    for limit in (0.5, np.linspace(-1, 1, 2000, dtype=np.float32), np.linspace(-1, 1, 600, dtype=np.float32)[:, None]):
        expected = (x > torch.as_tensor(limit)).view(-1).nonzero().view(-1)
        assert places_above(x, limit).tolist() == expected.tolist()
