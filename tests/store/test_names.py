"""Names kept for live answers: never older than what the database holds."""

from collections.abc import Iterator

import pytest

from app.domain import Dictionary
from app.settings import database_url
from app.store.database import Database
from app.store.dictionaries import get_dictionary
from app.store.labels import add_label, list_labels, remove_label
from app.store.names import known_names

EVERY = range(6)


@pytest.fixture
def database(own_database: str) -> Iterator[Database]:
    database = Database(database_url(own_database))
    yield database
    database.close()


@pytest.fixture
def dictionary(database: Database) -> Dictionary:
    with database.read() as session:
        return get_dictionary(session, "tiny")


def test_a_name_is_known_once_another_process_has_written_it_and_no_longer_than_it_is_there(
    own_database: str, database: Database, dictionary: Dictionary
) -> None:
    before = {3: "about tennis", 4: "kitchen — café"}
    assert known_names(database, dictionary, EVERY) == known_names(database, dictionary, EVERY) == before
    other = Database(database_url(own_database))
    with other.write() as session:
        add_label(session, dictionary, 5, "rain", "Ada")
    assert known_names(database, dictionary, EVERY) == {**before, 5: "rain"}
    with other.write() as session:
        (label,) = list_labels(session, dictionary, 5)
        remove_label(session, dictionary, 5, label.id, "Ada")
    other.close()
    assert known_names(database, dictionary, EVERY) == before


def test_of_a_dictionary_with_many_names_those_asked_for_are_read(database: Database, dictionary: Dictionary) -> None:
    assert known_names(database, dictionary, [4, 1, 4], most=1) == {4: "kitchen — café"}
    assert known_names(database, dictionary, [3], most=1) == {3: "about tennis"}
