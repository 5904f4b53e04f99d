"""A dictionary of the tiny model, for what runs it in another process."""

from collections.abc import Iterator

import pytest

from app.domain import Dictionary
from app.store.database import Database
from app.store.dictionaries import get_dictionary
from tests.conftest import index_tiny
from tests.tiny import Tiny


@pytest.fixture(scope="package")
def database(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    path = tmp_path_factory.mktemp("process") / "tiny.db"
    index_tiny(tiny, path)
    opened = Database(f"sqlite:///{path}")
    yield opened
    opened.close()


@pytest.fixture(scope="package")
def dictionary(database: Database) -> Dictionary:
    with database.read() as session:
        return get_dictionary(session, "tiny")
