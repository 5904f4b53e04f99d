"""A database from before there was a full text index finds its examples and labels after it is upgraded."""

import contextlib

import pytest
from sqlalchemy import create_engine, text

from app.settings import database_url as database_url_of
from app.store.database import Database
from app.store.dictionaries import get_dictionary
from app.store.labels import list_changes, list_labels
from app.store.search import search
from tests.store.test_upgrade import make_earlier


@pytest.mark.slow
def test_an_older_database_is_searched_after_its_upgrade(database_url: str) -> None:
    make_earlier(database_url, "0002")
    older = create_engine(database_url_of(database_url))
    with older.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO labels (dictionary_id, feature, text, author, source, created_at, is_name) "
                "VALUES ('tiny', 9, 'Unheard-of serves', 'Ada', 'person', '2026-01-02 03:04:05', true)"
            )
        )
    older.dispose()
    with contextlib.closing(Database(database_url_of(database_url))) as database, database.read() as session:
        dictionary = get_dictionary(session, "tiny")
        assert search(session, "tennis", None, "text", None, 5).hits.total > 0
        assert search(session, "enni", None, "text", None, 5).hits.total > 0
        (hit,) = search(session, "unheard", None, "label", None, 5).hits.items
        assert (hit.index, hit.label) == (9, "Unheard-of serves")
        (label,) = list_labels(session, dictionary, 9)
        assert (label.version, label.stars, label.changed_at) == (1, 0, label.created_at)
        assert [change.action for change in list_changes(session, dictionary, 9)] == ["added"]
