"""What tests share: the tiny model, one index of it, and a way to browse that index."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser, LexborNode

from app.domain import Dictionary
from app.index.build import BuildOptions, build_index
from app.main import create_app
from app.settings import Settings
from app.store.database import Database
from tests.tiny import Tiny, make_tiny


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@dataclass(frozen=True)
class Indexed:
    """A database file with the dictionary `tiny`."""

    path: Path
    dictionary: Dictionary


def index_tiny(tiny: Tiny, path: Path, **changed: Any) -> Dictionary:
    options: dict[str, Any] = {
        "id": "tiny",
        "title": "Tiny <em>one</em>",
        "model": str(tiny.model),
        "sae": str(tiny.sae),
        "corpus": [str(tiny.corpus)],
        "context": 32,
        "batch_tokens": 512,
        "quality_tokens": 400,
    }
    database = Database(f"sqlite:///{path}")
    try:
        return build_index(BuildOptions(**(options | changed)), database, Path(f"{path}.builds") / "tiny")
    finally:
        database.close()


@pytest.fixture(scope="session")
def indexed(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Indexed:
    path = tmp_path_factory.mktemp("index") / "tiny.db"
    return Indexed(path, index_tiny(tiny, path))


@pytest.fixture(scope="session")
def client(indexed: Indexed) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(db=str(indexed.path))), raise_server_exceptions=False) as client:
        yield client


class Page:
    """A parsed answer."""

    def __init__(self, status: int, html: str) -> None:
        self.status = status
        self.html = html
        self.tree = LexborHTMLParser(html)

    def all(self, selector: str) -> list[LexborNode]:
        return self.tree.css(selector)

    def one(self, selector: str) -> LexborNode:
        found = self.tree.css(selector)
        assert found, f"nothing matches {selector}"
        return found[0]

    def text(self, selector: str) -> str:
        return self.one(selector).text(strip=True)


@pytest.fixture(scope="session")
def browse(client: TestClient) -> Any:
    def get(address: str) -> Page:
        answer = client.get(address)
        assert answer.headers["content-type"].startswith("text/html")
        return Page(answer.status_code, answer.text)

    return get


@pytest.fixture(scope="session")
def ask(client: TestClient) -> Any:
    """GET of the API: the status and the JSON."""

    def get(path: str) -> tuple[int, Any]:
        answer = client.get(f"/api/v1{path}")
        return answer.status_code, json.loads(answer.text)

    return get
