"""A copy holds the same rows in the other database, and goes on from there."""

from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from app.domain import Group
from app.errors import Conflict
from app.settings import database_url as url_of
from app.store.copy import CopiedTable, CopyDiffers, copied_tables, copy_database
from app.store.database import Database
from app.store.dictionaries import get_dictionary
from app.store.examples import list_examples
from app.store.features import get_feature
from app.store.labels import add_label, list_labels
from app.store.search import search
from tests.postgres import Postgres
from tests.store.content import content
from tests.tiny import N_FEATURES

pytestmark = pytest.mark.slow  # many databases, a second each


def copy(source: str, target: str) -> list[CopiedTable]:
    reading, writing = Database(url_of(source)), Database(url_of(target))
    try:
        return copy_database(reading, writing, lambda done, total: None)
    finally:
        reading.close()
        writing.close()


@pytest.fixture
def other(own_database: str, postgres: Postgres, tmp_path: Path) -> str:
    """The URL of an empty database of the other kind."""
    return postgres.new_database() if own_database.startswith("sqlite") else f"sqlite:///{tmp_path / 'other.db'}"


def test_a_copy_holds_the_same_and_so_does_its_copy_back(own_database: str, other: str, tmp_path: Path) -> None:
    copied = copy(own_database, other)
    assert copied == content(own_database) == content(other)
    assert {table.name: table.n_rows for table in copied}["features"] == N_FEATURES
    back = f"sqlite:///{tmp_path / 'back.db'}"
    assert copy(other, back) == copied


def test_everything_reads_the_same_from_a_copy(own_database: str, other: str) -> None:
    copy(own_database, other)
    found = []
    for url in (own_database, other):
        database = Database(url_of(url))
        with database.read() as session:
            dictionary = get_dictionary(session, "tiny")
            features = [get_feature(session, dictionary, i) for i in range(N_FEATURES)]
            examples = [list_examples(session, dictionary, i, Group.TOP, None, 50) for i in range(N_FEATURES)]
            searched = [search(session, q, None, None, None, 200) for q in ("tennis", "enni", "日本", "kitchen")]
            found.append((dictionary, features, examples, list_labels(session, dictionary, 3), searched))
        database.close()
    assert found[0] == found[1]


def test_numbers_go_on_where_they_were(own_database: str, other: str) -> None:
    copy(own_database, other)
    database = Database(url_of(other))
    with database.write() as session:
        dictionary = get_dictionary(session, "tiny")
        known = {label.id for i in range(N_FEATURES) for label in list_labels(session, dictionary, i)}
        assert add_label(session, dictionary, 9, "one more", "Ada").id == max(known) + 1
    database.close()


def test_a_database_that_holds_something_is_not_copied_into(own_database: str, other: str) -> None:
    copy(own_database, other)
    before = content(other)
    with pytest.raises(Conflict, match="not empty"):
        copy(own_database, other)
    assert content(other) == before


def test_a_build_that_is_not_published_stays_behind(own_database: str, other: str) -> None:
    database = Database(url_of(own_database))
    with database.write() as session:
        session.execute(text("UPDATE dictionaries SET published = false"))
    database.close()
    counts = {table.name: table.n_rows for table in copy(own_database, other)}
    assert counts["dictionaries"] == counts["features"] == counts["feature_examples"] == 0
    assert counts["labels"] == 2


def test_a_row_that_arrives_changed_is_noticed_and_nothing_is_kept(own_database: str, tmp_path: Path) -> None:
    """A trigger in the target stands in for whatever might change a value on its way."""
    target = f"sqlite:///{tmp_path / 'changing.db'}"
    database = Database(target)
    with database.write() as session:
        session.execute(
            text(
                "CREATE TRIGGER changing AFTER INSERT ON labels BEGIN "
                "UPDATE labels SET text = 'else' WHERE id = new.id; END"
            )
        )
    database.close()
    with pytest.raises(CopyDiffers, match="labels"):
        copy(own_database, target)
    assert {table.n_rows for table in content(target)} == {0}


# What search makes of the other tables; FTS5 keeps each index in several.
MADE_ANEW = (
    "topics",
    "feature_topics",
    "searched_sentences",
    "vocabulary",
    "sentence_words",
    "sentence_terms",
    "label_words",
    "label_terms",
    "word_pieces",
)


def test_no_table_is_forgotten(own_database: str) -> None:
    database = Database(url_of(own_database))
    there = set(inspect(database.engine).get_table_names())
    database.close()
    made_anew = {name for name in there if name.startswith(MADE_ANEW)}
    assert there - {"alembic_version"} - made_anew == {table.name for table in copied_tables()}
