"""Builds on other devices. Skipped by name where there is none."""

from pathlib import Path

import pytest
import torch

from app.store.database import Database
from app.store.features import get_feature
from tests.conftest import index_tiny
from tests.tiny import N_FEATURES, Tiny

DEVICES = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}


@pytest.mark.parametrize("device", list(DEVICES))
def test_a_build_there_gives_what_the_processor_gives(tiny: Tiny, tmp_path: Path, device: str) -> None:
    if not DEVICES[device]:
        pytest.skip(f"this machine has no {device} device")
    found = []
    for name in ("cpu", device):
        dictionary = index_tiny(tiny, tmp_path / f"{name}.db", device=name)
        database = Database(f"sqlite:///{tmp_path / name}.db")
        with database.read() as session:
            found.append([get_feature(session, dictionary, i) for i in range(N_FEATURES)])
        database.close()
    for one, other in zip(*found, strict=True):
        assert other.n_active_tokens == pytest.approx(one.n_active_tokens, abs=2)
        assert other.max_activation == pytest.approx(one.max_activation, rel=1e-3)
        assert other.decoder_norm == pytest.approx(one.decoder_norm, rel=1e-5)
        assert [logit.token for logit in other.promoted[:3]] == [logit.token for logit in one.promoted[:3]]
