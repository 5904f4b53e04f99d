import numpy as np
import torch

from app.index.neighbors import KEPT, CoActivation
from app.store.packing import Neighbors

N, SENTENCES = 200, 700


def coactive(kept: int) -> list[Neighbors]:
    fires = np.random.default_rng(0).random((N, SENTENCES)) < 0.1
    counted = CoActivation(N, SENTENCES, torch.device("cpu"), kept)
    counted.add(0, N, *np.nonzero(fires))
    return [counted.neighbors(0, 90), counted.neighbors(90, N)]


def test_what_is_unpacked_again_gives_what_is_held_unpacked() -> None:
    for held, again in zip(coactive(KEPT), coactive(0), strict=True):
        assert held.features.tolist() == again.features.tolist()
        assert held.values.tolist() == again.values.tolist()
