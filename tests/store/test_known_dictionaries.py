"""Dictionaries known without a query: never older than what the database holds, nor shown to whom they are not for."""

from collections.abc import Iterator

import pytest
from sqlalchemy import event, update

from app.errors import NotFound
from app.roles import OWNER, How, Person, Role
from app.settings import database_url
from app.store.database import Database
from app.store.dictionaries import known_dictionary
from app.store.tables import DictionaryRow
from app.store.visible import restrict, set_private

READER = Person("Ada", Role.READ, How.BEARER)


@pytest.fixture
def database(own_database: str) -> Iterator[Database]:
    database = Database(database_url(own_database))
    yield database
    database.close()


def title(database: Database, person: Person) -> str:
    with database.read() as session:
        restrict(session, person)
        return known_dictionary(database, session, "tiny").title


def test_a_dictionary_is_asked_for_once_until_something_is_committed(own_database: str, database: Database) -> None:
    before = title(database, OWNER)
    asked: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    assert title(database, OWNER) == before
    assert asked == []
    other = Database(database_url(own_database))
    with other.write() as session:
        row = update(DictionaryRow).where(DictionaryRow.id == "tiny")
        session.execute(row.values(id="moved"))
    other.close()
    with pytest.raises(NotFound, match=r"there are .*moved"):
        title(database, OWNER)
    assert asked


def test_who_has_asked_for_something_sees_what_was_there_then(own_database: str, database: Database) -> None:
    other = Database(database_url(own_database))
    with database.read() as session:
        restrict(session, READER)  # which looks for private dictionaries, and there are none
        with other.write() as writing:
            set_private(writing, "tiny", private=True)
            writing.execute(update(DictionaryRow).where(DictionaryRow.id == "tiny").values(id="moved"))
        assert known_dictionary(database, session, "tiny").id == "tiny"
    other.close()
    with pytest.raises(NotFound, match=r"there are .*moved"):
        title(database, OWNER)
    with pytest.raises(NotFound):
        title(database, READER)


def test_one_that_became_private_is_known_to_the_owner_alone(database: Database) -> None:
    before = title(database, OWNER)
    assert title(database, READER) == before
    with database.write() as session:
        set_private(session, "tiny", private=True)
    with pytest.raises(NotFound):
        title(database, READER)
    assert title(database, OWNER) == before
    with pytest.raises(NotFound):
        title(database, READER)
