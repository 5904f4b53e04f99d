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
from app.settings import Settings
from app.store.database import Database
from app.store.tokens import create_token
from tests.conftest import index_tiny
from tests.tiny import Tiny

HIDDEN = "hushed-lab"  # stands nowhere but in what is private
HIDDEN_TITLE = "Quietly kept"


@pytest.fixture(scope="session")
def two_dictionaries(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("two") / "two.db"
    index_tiny(tiny, path)
    index_tiny(tiny, path, id=HIDDEN, title=HIDDEN_TITLE)
    return path


@pytest.fixture
def database_path(two_dictionaries: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    path = tmp_path / "access.db"
    shutil.copy(two_dictionaries, path)
    return path


@pytest.fixture
def serve(database_path: Path) -> Iterator[Callable[..., TestClient]]:
    """serve(access="token") gives a client of a server with these settings."""
    with ExitStack() as stack:

        def started(peer: str = "127.0.0.1", address: str = "http://testserver", **changed: Any) -> TestClient:
            settings = Settings(**({"db": str(database_path), "host": "0.0.0.0", "model": False} | changed))
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
def token_of(database_path: Path) -> Callable[..., str]:
    """token_of("Ada", Role.LABEL) gives the secret of a new token."""

    def made(name: str, role: Role, dictionaries: dict[str, Role] | None = None, expires_at: Any = None) -> str:
        database = Database(f"sqlite:///{database_path}")
        try:
            with database.write() as session:
                return create_token(session, name, role, dictionaries or {}, expires_at)[1]
        finally:
            database.close()

    return made


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}
