"""An SAE whose features fire in both directions: what the index keeps of it, and what it says."""

from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from tests.conftest import index_tiny
from tests.tiny import N_FEATURES, Tiny, make_sae


def test_only_the_positive_side_is_kept_and_this_is_said(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_sae(tmp_path / "sae", architecture="abstopk", k=N_FEATURES)
    weights = load_file(tmp_path / "sae" / "sae_weights.safetensors")
    del weights["threshold"]
    save_file(weights, tmp_path / "sae" / "sae_weights.safetensors")
    dictionary = index_tiny(tiny, tmp_path / "x.db", sae=str(tmp_path / "sae"), force=True)
    assert "AbsTopK SAE fire in both directions; the index holds the positive side alone" in capsys.readouterr().err
    # k is every feature: each fires at each token, with one sign or the other.
    assert 0 < dictionary.quality.l0 < N_FEATURES
