import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from app.index.neighbors import KEPT, NEIGHBORS, TILE, CoActivation
from app.store.packing import Neighbors

N, SENTENCES = 200, 701


def firing() -> NDArray[np.bool_]:
    """(N, SENTENCES), with features that never and always fire, and many that fire in the same sentences."""
    draw = np.random.default_rng(0)
    fires = draw.random((N, SENTENCES)) < 0.1
    fires[3], fires[4] = False, True
    fires[100:130] = fires[10]
    return fires


def coactive(fires: NDArray[np.bool_], kept: int = KEPT, tile: int = TILE, bytewise: bool = True) -> list[Neighbors]:
    counted = CoActivation(N, SENTENCES, torch.device("cpu"), kept, tile)
    if not bytewise:
        counted.dtype = torch.float32
    counted.add(0, counted.pack(N, *np.nonzero(fires)))
    return [counted.neighbors(0, 90), counted.neighbors(90, N)]


def test_co_active_features_are_those_of_a_plain_count() -> None:
    fires = firing()
    found = coactive(fires)
    features, values = (np.concatenate([getattr(part, name) for part in found]) for name in ("features", "values"))
    for feature in range(N):
        both, either = (fires & fires[feature]).sum(1), (fires | fires[feature]).sum(1)
        shares = both / np.maximum(either, 1)
        shares[feature] = 0
        best = [int(f) for f in np.lexsort((np.arange(N), -shares))[:NEIGHBORS] if shares[f] > 0]
        assert features[feature][values[feature] > 0].tolist() == best
        assert values[feature][: len(best)] == pytest.approx(shares[best], rel=1e-6)


@pytest.mark.parametrize(
    ("kept", "tile", "bytewise"), [(0, TILE, True), (KEPT, 5000, True), (0, 50_000, True), (0, 50_000, False)]
)
def test_neither_tiles_nor_what_is_held_nor_the_kind_of_product_changes_them(
    kept: int, tile: int, bytewise: bool
) -> None:
    fires = firing()
    for plain, other in zip(coactive(fires), coactive(fires, kept, tile, bytewise), strict=True):
        fired = plain.values > 0
        assert plain.values.tolist() == other.values.tolist()
        assert plain.features[fired].tolist() == other.features[fired].tolist()


def test_one_sentence_alone_is_counted_right() -> None:
    for _ in range(20):  # torch's product over one column was wrong now and then
        counted = CoActivation(3, 1, torch.device("cpu"))
        counted.add(0, counted.pack(3, np.array([0, 2]), np.array([0, 0])))
        found = counted.neighbors(0, 3)
        assert found.values.max(axis=1).tolist() == [1, 0, 1]
        assert found.features[0][0] == 2
