"""A database from before there was a full text index finds its examples and labels after it is upgraded."""

import contextlib
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect, text

from app.settings import database_url as database_url_of
from app.store.database import MIGRATIONS, Database
from app.store.dictionaries import get_dictionary
from app.store.labels import list_changes, list_labels
from app.store.search import search
from tests.conftest import index_into
from tests.tiny import Tiny

TABLES = ("dictionaries", "sentences", "features", "feature_tokens", "examples")


@pytest.mark.slow
def test_an_older_database_is_searched_after_its_upgrade(tiny: Tiny, database_url: str, tmp_path: Path) -> None:
    newest = f"sqlite:///{tmp_path / 'newest.db'}"
    index_into(tiny, newest, tmp_path / "work")
    older = create_engine(database_url_of(database_url))
    with older.begin() as connection, create_engine(newest).connect() as source:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        for table in TABLES:
            columns = [column["name"] for column in inspect(connection).get_columns(table)]
            listed = ", ".join(f'"{column}"' for column in columns)
            rows = source.execute(text(f"SELECT {listed} FROM {table}")).mappings().all()
            values = ", ".join(f":{column}" for column in columns)
            kept = [{**row, **({"published": True} if table == "dictionaries" else {})} for row in rows]
            connection.execute(text(f"INSERT INTO {table} ({listed}) VALUES ({values})"), kept)
        connection.execute(
            text(
                "INSERT INTO labels (dictionary_id, feature, text, author, source, created_at, is_name) "
                "VALUES ('tiny', 3, 'Unheard-of serves', 'Ada', 'person', '2026-01-02 03:04:05', true)"
            )
        )
    older.dispose()
    with contextlib.closing(Database(database_url_of(database_url))) as database, database.read() as session:
        dictionary = get_dictionary(session, "tiny")
        assert search(session, "tennis", None, "text", None, 5).hits.total > 0
        assert search(session, "enni", None, "text", None, 5).hits.total > 0
        (hit,) = search(session, "unheard", None, "label", None, 5).hits.items
        assert (hit.index, hit.label) == (3, "Unheard-of serves")
        (label,) = list_labels(session, dictionary, 3)
        assert (label.version, label.stars, label.changed_at) == (1, 0, label.created_at)
        assert [change.action for change in list_changes(session, dictionary, 3)] == ["added"]
