"""No answer says where anything lies on the server's machine: it is nobody's business who only visits."""

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings

FOLDER = "/srv/grandmas-folder"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_no_answer_holds_a_path_of_the_machine(serve: Callable[..., TestClient], database_path: Path) -> None:
    with sqlite3.connect(database_path) as connection:
        connection.execute(f"UPDATE dictionaries SET model_source = '{FOLDER}/model', sae_source = '{FOLDER}/sae'")
    client = serve(host="127.0.0.1", model=True)
    asked = 0
    for route in iter_route_contexts(create_app(Settings()).routes):
        for method in sorted(route.methods or ()):
            for id in ("tiny", "nope"):
                address = re.sub(r"\{\w+(:\w+)?\}", "3", (route.path or "").replace("{dictionary_id}", id))
                for query in ("", "?text=The+match&sort=x&cursor=x&group=x"):
                    answer = client.request(method, address + query, json={"texts": ["The match"], "text": "x"})
                    asked += 1
                    for path in (FOLDER, str(database_path.parent), str(Path(__file__).parent.parent.parent)):
                        assert path not in answer.text, (method, address + query)
    assert asked > 50


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_model_that_has_gone_is_named_without_its_path(serve: Callable[..., TestClient], database_path: Path) -> None:
    with sqlite3.connect(database_path) as connection:
        connection.execute(f"UPDATE dictionaries SET model_source = '{FOLDER}/our-model'")
    client = serve(host="127.0.0.1", model=True)
    answer = client.post("/api/v1/dictionaries/tiny/activations", json={"texts": ["The match"]})
    assert answer.status_code == 503
    for told in (answer.json()["detail"], client.get("/dictionaries/tiny/live?text=The+match").text):
        assert "our-model" in told
        assert FOLDER not in told
    assert client.get("/dictionaries/tiny/features/3").status_code == 200


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_an_answer_to_a_database_that_fails_holds_none(serve: Callable[..., TestClient], database_path: Path) -> None:
    client = serve(host="127.0.0.1")
    with sqlite3.connect(database_path) as connection:
        connection.execute("DROP TABLE features")
    for address in ("/dictionaries/tiny", "/api/v1/dictionaries/tiny/features", "/dictionaries/tiny/features/3"):
        answer = client.get(address)
        assert answer.status_code == 500
        assert str(database_path.parent) not in answer.text
        assert "SELECT" not in answer.text
        assert answer.headers["content-security-policy"]
