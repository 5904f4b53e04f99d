"""The cache of loaded models: shared, bounded in bytes, never emptied under a request, and honest about what failed."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from app.domain import Dictionary
from app.engine.loaded_models import LoadedModels
from app.engine.patience import Patience
from app.engine.processors import n_processors
from app.errors import Unavailable
from tests.conftest import Indexed
from tests.tiny import Tiny, make_sae


@pytest.fixture
def several(indexed: Indexed, tiny: Tiny, tmp_path: Path) -> list[Dictionary]:
    """Dictionaries of one model and SAEs of their own."""
    made = []
    for n in range(3):
        make_sae(tmp_path / str(n))
        made.append(replace(indexed.dictionary, sae_source=str(tmp_path / str(n))))
    return made


def test_a_long_step_may_take_every_processor_unless_threads_are_set(several: list[Dictionary]) -> None:
    for threads, most in ((0, n_processors()), (3, 3)):
        with LoadedModels("cpu", memory=10**12, threads=threads).use(several[0], Patience(30)) as loaded:
            assert loaded.most_threads == most
    torch.set_num_threads(1)  # which loading has set


def test_dictionaries_share_a_model_and_use_drops_the_least_recent_sae(several: list[Dictionary]) -> None:
    models = LoadedModels("cpu", memory=10**12)
    with models.use(several[0], Patience(30)) as first, models.use(several[1], Patience(30)) as second:
        assert first.model is second.model
        assert first.sae is not second.sae
        both = models.n_bytes()
    with models.use(several[0], Patience(30)) as again:
        assert again.sae is first.sae
    models.memory = both
    with models.use(several[2], Patience(30)):
        pass
    with models.use(several[0], Patience(30)) as kept, models.use(several[1], Patience(30)) as loaded_anew:
        assert kept.sae is first.sae
        assert loaded_anew.sae is not second.sae


def test_a_model_that_two_requests_waited_for_stays_beside_the_sae_used_last(several: list[Dictionary]) -> None:
    models = LoadedModels("cpu", memory=0)
    together = threading.Barrier(2)

    def use(dictionary: Dictionary) -> object:
        with models.use(dictionary, Patience(30)) as loaded:
            together.wait(30)
            return loaded.model

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(use, several[:2])
    assert first is second
    with models.use(several[2], Patience(30)) as after:
        assert after.model is first


def test_nothing_is_dropped_while_a_request_holds_it(several: list[Dictionary]) -> None:
    models = LoadedModels("cpu", memory=0)
    with models.use(several[0], Patience(30)) as held:
        for other in several[1:]:
            with models.use(other, Patience(30)):
                pass
        with models.use(several[0], Patience(30)) as same:
            assert same.sae is held.sae


def test_what_cannot_be_loaded_is_said_and_can_be_tried_again(several: list[Dictionary], tmp_path: Path) -> None:
    models = LoadedModels("cpu", memory=10**12)
    later = replace(several[0], sae_source=str(tmp_path / "later"))
    for _ in range(2):
        with pytest.raises(Unavailable, match="SAE"), models.use(later, Patience(30)):
            pass
        with pytest.raises(Unavailable):
            models.loading_for(later, 30)
    make_sae(tmp_path / "later")
    assert models.loading_for(later, 30) is None
    with models.use(later, Patience(30)) as loaded:
        assert loaded.sae.n_features == later.n_features


def test_a_page_hears_that_a_model_is_loading(several: list[Dictionary]) -> None:
    models = LoadedModels("cpu", memory=10**12)
    seconds = models.loading_for(several[0], 0)
    assert seconds is None or seconds >= 0
    assert models.loading_for(several[0], 60) is None
    assert models.loading_for(several[0], 0) is None
