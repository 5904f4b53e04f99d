"""Labels across a replacement: kept, and told apart where the SAE's decoder row is another one."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.commands.index import summary
from app.main import create_app
from app.settings import Settings
from tests.conftest import Page, index_tiny
from tests.tiny import Tiny

pytestmark = pytest.mark.slow
LABELLED = (3, 5, 11)
CHANGED = 5


def test_a_label_of_a_changed_decoder_row_says_so_until_it_is_written_again(tiny: Tiny, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    database = tmp_path / "x.db"
    first = index_tiny(tiny, database)
    with TestClient(create_app(Settings(db=str(database)))) as client:
        for index in LABELLED:
            _label(client, index, "a name")

    other = tmp_path / "sae"
    other.mkdir()
    weights = load_file(tiny.sae / "sae_weights.safetensors")
    weights["W_dec"][CHANGED] = weights["W_dec"][CHANGED].flip(0)
    save_file(weights, other / "sae_weights.safetensors")
    (other / "cfg.json").write_text((tiny.sae / "cfg.json").read_text())
    second = index_tiny(tiny, database, sae=str(other), replace=True)
    assert (first.changed_under_labels, second.changed_under_labels) == ((), [CHANGED])
    assert f"the labels of {CHANGED} again" in summary(second, None)

    with TestClient(create_app(Settings(db=str(database)))) as client:
        warned = [index for index in LABELLED if _warnings(client, index)]
        assert warned == [CHANGED]
        _label(client, CHANGED, "a newer name")
        assert _warnings(client, CHANGED) == 1  # of two labels

    # The same SAE again: what was written for an earlier one is still named, what was written since is not.
    third = index_tiny(tiny, database, sae=str(other), replace=True)
    assert third.changed_under_labels == ()


def _label(client: TestClient, index: int, text: str) -> None:
    where = f"/api/v1/dictionaries/tiny/features/{index}/labels"
    assert client.post(where, json={"text": text, "author": "Ada"}).status_code == 201


def _warnings(client: TestClient, index: int) -> int:
    page = Page(200, client.get(f"/dictionaries/tiny/features/{index}").text)
    assert page.all(".labels li")
    return len(page.all(".labels .refused"))
