"""A transcoder indexed: it reads one place, and is measured and read as logits where it writes."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from app.engine.logits import feature_logits
from app.engine.model_files import load_language_model
from app.errors import Invalid
from app.store.database import Database
from app.store.features import get_feature
from tests.conftest import index_tiny
from tests.engine.formats import layouts
from tests.engine.formats.layouts import Drawn
from tests.tiny import D_MODEL, Tiny

READ, WRITTEN, INNER = "blocks.1.mlp.hook_post", "blocks.1.hook_mlp_out", 64


def projection(tiny: Tiny) -> torch.Tensor:
    """(INNER, D_MODEL): what the MLP itself does from READ to WRITTEN."""
    return load_file(tiny.model / "model.safetensors")["model.layers.1.mlp.down_proj.weight"].T


def write_exact(folder: Path, tiny: Tiny, **metadata: str) -> Path:
    """A transcoder that is the MLP's projection: x and -x as features, each with its row."""
    one, rows = torch.eye(INNER), projection(tiny)
    zeros = torch.zeros(2 * INNER)
    exact = Drawn(torch.cat([one, -one], 1), torch.cat([rows, -rows]), zeros, torch.zeros(D_MODEL), zeros, zeros)
    stated = {"architecture": "transcoder", "d_in": INNER, "d_sae": 2 * INNER, "d_out": D_MODEL}
    return layouts.write_saelens(
        folder, exact, **stated, metadata={"hook_name": READ, "model_name": "model"} | metadata
    )


def test_it_is_measured_and_read_where_it_writes(tiny: Tiny, tmp_path: Path) -> None:
    sae = write_exact(tmp_path / "sae", tiny, hook_name_out=WRITTEN)
    dictionary = index_tiny(tiny, tmp_path / "x.db", sae=str(sae), force=True)
    assert (dictionary.hook_point, dictionary.d_in) == (READ, INNER)
    assert dictionary.quality.explained_variance == pytest.approx(1, abs=1e-6)
    assert dictionary.quality.ce_recovered == pytest.approx(1, abs=1e-4)
    database = Database(f"sqlite:///{tmp_path / 'x.db'}")
    with database.read() as session:
        feature = get_feature(session, dictionary, 3)
    database.close()
    direction = projection(tiny)[3][None]
    logits = feature_logits(load_language_model(str(tiny.model)), direction)[0]
    assert feature.promoted[0].logit == pytest.approx(float(logits.max()), abs=1e-3)
    assert feature.decoder_norm == pytest.approx(float(direction.norm()), abs=1e-4)


def test_one_that_does_not_say_where_it_writes_is_refused_before_the_pass(tiny: Tiny, tmp_path: Path) -> None:
    sae = write_exact(tmp_path / "sae", tiny)
    with pytest.raises(Invalid, match=r"hook_name_out"):
        index_tiny(tiny, tmp_path / "x.db", sae=str(sae), force=True)


def test_one_that_writes_another_width_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    sae = write_exact(tmp_path / "sae", tiny, hook_name_out=READ)
    with pytest.raises(Invalid, match=f"writes {D_MODEL} numbers a token, but model has {INNER}"):
        index_tiny(tiny, tmp_path / "x.db", sae=str(sae), force=True)
