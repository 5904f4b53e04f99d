"""Servers with an access rule, over a database of two dictionaries, one of them to be made private."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.roles import Role
from app.settings import Settings, database_url
from app.store.database import Database
from app.store.tokens import create_token
from tests.conftest import index_into, index_tiny
from tests.postgres import Postgres
from tests.tiny import Tiny

HIDDEN = "hushed-lab"  # stands nowhere but in what is private
CHANGED = "people, tokens, sign_ins, private_dictionaries, audit, labels"
HIDDEN_TITLE = "Quietly kept"


@pytest.fixture(scope="session")
def two_dictionaries(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("two") / "two.db"
    index_tiny(tiny, path)
    index_tiny(tiny, path, id=HIDDEN, title=HIDDEN_TITLE)
    return path


@pytest.fixture(scope="session")
def two_in_postgresql(tiny: Tiny, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    url, work = postgres.new_database(), tmp_path_factory.mktemp("two-in-postgresql")
    index_into(tiny, url, work / "one")
    index_into(tiny, url, work / "two", id=HIDDEN, title=HIDDEN_TITLE)
    return url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database to change: a copy of the file, or the one in PostgreSQL with what was changed taken out."""
    if request.param == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        url: str = request.getfixturevalue("two_in_postgresql")
        with postgres.connect(url) as connection:
            connection.execute(f"TRUNCATE {CHANGED} RESTART IDENTITY CASCADE")
        return url
    shutil.copy(request.getfixturevalue("two_dictionaries"), tmp_path / "access.db")
    return f"sqlite:///{tmp_path / 'access.db'}"


@pytest.fixture
def database_path(database: str) -> Path:
    """The same, for tests that take SQLite's file."""
    return Path(database.removeprefix("sqlite:///"))


@pytest.fixture
def serve(database: str) -> Iterator[Callable[..., TestClient]]:
    """serve(access="token") gives a client of a server with these settings."""
    with ExitStack() as stack:

        def started(peer: str = "127.0.0.1", address: str = "http://testserver", **changed: Any) -> TestClient:
            settings = Settings(**({"db": database, "host": "0.0.0.0", "model": False} | changed))
            return stack.enter_context(
                TestClient(
                    create_app(settings),
                    raise_server_exceptions=False,
                    follow_redirects=False,
                    client=(peer, 50_000),
                    base_url=address,
                )
            )

        yield started


@pytest.fixture
def token_of(database: str) -> Callable[..., str]:
    """token_of("Ada", Role.LABEL) gives the secret of a new token."""

    def made(name: str, role: Role, dictionaries: dict[str, Role] | None = None, expires_at: Any = None) -> str:
        opened = Database(database_url(database))
        try:
            with opened.write() as session:
                return create_token(session, name, role, dictionaries or {}, expires_at)[1]
        finally:
            opened.close()

    return made


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}
