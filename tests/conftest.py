"""What tests share: the tiny model, one index of it in each database, and a way to browse that index."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser, LexborNode

from app.domain import Dictionary
from app.index.build import build_index
from app.index.options import BuildOptions
from app.main import create_app
from app.settings import Settings
from app.settings import database_url as database_url_of
from app.store.database import Database
from app.store.labels import add_label
from tests.postgres import Postgres, find_programs
from tests.tiny import Tiny, make_tiny

# The models are tiny: threads would only wait for one another. The second line is for the programs that tests start.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")
DATABASES = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of this test run's own, started by the first test that asks for it."""
    programs = find_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (no initdb): install Debian's package postgresql")
    running = Postgres(programs)
    try:
        running.start()
        yield running
    finally:
        running.remove()


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database: a test that takes this runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'featurescope.db'}"
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    with postgres.lent(postgres.new_database()) as url:
        yield url


@dataclass(frozen=True)
class Indexed:
    """The URL of a database with the dictionary `tiny`."""

    url: str
    dictionary: Dictionary


def index_tiny(tiny: Tiny, path: Path, **changed: Any) -> Dictionary:
    """The dictionary `tiny` in a SQLite file."""
    return index_into(tiny, f"sqlite:///{path}", Path(f"{path}.builds") / "tiny", **changed)


def index_into(tiny: Tiny, url: str, work: Path, **changed: Any) -> Dictionary:
    """The dictionary `tiny` in any database. work: a folder for what the build records."""
    database = Database(database_url_of(url))
    try:
        return build_index(options_of(tiny, **changed), database, work)
    finally:
        database.close()


def options_of(tiny: Tiny, **changed: Any) -> BuildOptions:
    options: dict[str, Any] = {
        "id": "tiny",
        "title": "Tiny <em>one</em>",
        "model": str(tiny.model),
        "sae": str(tiny.sae),
        "corpus": [str(tiny.corpus)],
        "context": 32,
        "batch_tokens": 512,
        "quality_tokens": 400,
        "force": True,  # the tiny SAE is random, and explains nothing
    }
    return BuildOptions(**(options | changed))


@pytest.fixture(scope="session", params=DATABASES)
def indexed(request: pytest.FixtureRequest) -> Indexed:
    """Everything that browses this index does so twice, once in each database."""
    found: Indexed = request.getfixturevalue(f"indexed_{request.param}")
    return found


# One for each database, as are the clients: pytest keeps a fixture with parameters until another parameter's turn.
@pytest.fixture(scope="session")
def indexed_sqlite(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Indexed:
    folder = tmp_path_factory.mktemp("index")
    url = f"sqlite:///{folder / 'tiny.db'}"
    return Indexed(url, index_into(tiny, url, folder / "work"))


@pytest.fixture(scope="session")
def indexed_postgresql(tiny: Tiny, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Indexed:
    url = postgres.new_database()
    return Indexed(url, index_into(tiny, url, tmp_path_factory.mktemp("index")))


@pytest.fixture(scope="session", params=DATABASES)
def labelled(request: pytest.FixtureRequest) -> str:
    """The URL of a database with the dictionary `tiny` and two labels, which nobody is connected to."""
    url: str = request.getfixturevalue(f"labelled_{request.param}")
    return url


@pytest.fixture(scope="session")
def labelled_sqlite(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("labelled")
    return index_and_label(tiny, f"sqlite:///{folder / 'tiny.db'}", folder / "work")


@pytest.fixture(scope="session")
def labelled_postgresql(tiny: Tiny, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    return index_and_label(tiny, postgres.new_database(), tmp_path_factory.mktemp("labelled"))


def index_and_label(tiny: Tiny, url: str, work: Path) -> str:
    """The URL."""
    dictionary = index_into(tiny, url, work)
    database = Database(database_url_of(url))
    with database.write() as session:
        add_label(session, dictionary, 3, "about tennis", "Ada")
        add_label(session, dictionary, 4, "kitchen — café", "Ben")
    database.close()
    return url


@pytest.fixture
def own_database(request: pytest.FixtureRequest, labelled: str, tmp_path: Path) -> Iterator[str]:
    """The URL of a copy of `labelled` that a test may do with what it likes."""
    if not labelled.startswith("sqlite"):
        postgres: Postgres = request.getfixturevalue("postgres")
        with postgres.lent(postgres.copy_of(labelled)) as url:
            yield url
        return
    file = tmp_path / "own.db"
    shutil.copy(labelled.removeprefix("sqlite:///"), file)
    yield f"sqlite:///{file}"


@pytest.fixture(scope="session")
def client(request: pytest.FixtureRequest, indexed: Indexed) -> TestClient:
    found: TestClient = request.getfixturevalue(f"client_{indexed.url.partition(':')[0]}")
    return found


@pytest.fixture(scope="session")
def client_sqlite(indexed_sqlite: Indexed) -> Iterator[TestClient]:
    with client_of(indexed_sqlite) as client:
        yield client


@pytest.fixture(scope="session")
def client_postgresql(indexed_postgresql: Indexed) -> Iterator[TestClient]:
    with client_of(indexed_postgresql) as client:
        yield client


def client_of(indexed: Indexed) -> TestClient:
    return TestClient(create_app(Settings(db=indexed.url)), raise_server_exceptions=False)


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
        answer = get_loaded(client, address)
        assert answer.headers["content-type"].startswith("text/html")
        return Page(answer.status_code, answer.text)

    return get


def get_loaded(client: TestClient, address: str) -> Any:
    """What there is once the model has loaded: until then a browser asks again too."""
    until = time.monotonic() + 120
    answer = client.get(address)
    while "refresh" in answer.headers:
        assert time.monotonic() < until, "the model has not loaded"
        time.sleep(0.1)
        answer = client.get(address)
    return answer


@pytest.fixture(scope="session")
def ask(client: TestClient) -> Any:
    """GET of the API: the status and the JSON."""

    def get(path: str) -> tuple[int, Any]:
        answer = client.get(f"/api/v1{path}")
        return answer.status_code, json.loads(answer.text)

    return get
