"""A backup is the database at one moment, and comes back as it was."""

import sqlite3
import threading
from pathlib import Path

import pytest

from app.errors import Busy, Conflict, Invalid, NotFound
from app.settings import database_url as url_of
from app.store.backup import back_up, restore
from app.store.database import Database
from app.store.dictionaries import get_dictionary
from app.store.labels import add_label
from tests.postgres import Postgres
from tests.store.content import content, label_texts

pytestmark = pytest.mark.slow  # many databases, a second each


def make_backup(url: str, file: Path) -> Path:
    database = Database(url_of(url))
    try:
        back_up(database, file, lambda done, total: None)
    finally:
        database.close()
    return file


def bring_back(file: Path, url: str, replace: bool = False) -> None:
    restore(file, url_of(url), replace, lambda done, total: None)


@pytest.fixture
def another(request: pytest.FixtureRequest, own_database: str, tmp_path: Path) -> str:
    """The URL of a database of the same kind that is not there yet, or empty."""
    if own_database.startswith("sqlite"):
        return f"sqlite:///{tmp_path / 'another.db'}"
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.new_database()


def test_a_backup_comes_back_as_it_was(own_database: str, another: str, tmp_path: Path) -> None:
    file = make_backup(own_database, tmp_path / "kept.backup")
    bring_back(file, another)
    assert content(another) == content(own_database)
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name or "restoring" in path.name] == []


def test_a_backup_holds_one_moment_of_a_database_that_is_written(
    own_database: str, another: str, tmp_path: Path
) -> None:
    database = Database(url_of(own_database))
    stop = threading.Event()
    acknowledged: list[str] = []

    def label() -> None:
        while not stop.is_set():
            with database.write() as session:
                text = f"label {len(acknowledged)}"
                add_label(session, get_dictionary(session, "tiny"), len(acknowledged) % 24, text, "Ada")
            acknowledged.append(text)

    writer = threading.Thread(target=label)
    writer.start()
    try:
        while len(acknowledged) < 3:
            assert writer.is_alive()
        before = len(acknowledged)
        file = make_backup(own_database, tmp_path / "kept.backup")
        after = len(acknowledged)
    finally:
        stop.set()
        writer.join()
        database.close()
    bring_back(file, another)
    kept = {text for text in label_texts(another) if text.startswith("label")}
    assert kept == {f"label {n}" for n in range(len(kept))}, "those up to a moment, and no other"
    assert before <= len(kept) <= after + 1


def test_what_is_there_is_replaced_only_when_asked_and_kept_beside(own_database: str, tmp_path: Path) -> None:
    file = make_backup(own_database, tmp_path / "kept.backup")
    before = content(own_database)
    for turn in range(2):  # what the first one kept beside does not stand in the second's way
        database = Database(url_of(own_database))
        with database.write() as session:
            add_label(session, get_dictionary(session, "tiny"), 9, f"since then {turn}", "Ada")
        database.close()
        with pytest.raises(Conflict, match="--replace"):
            bring_back(file, own_database)
        assert content(own_database) != before
        bring_back(file, own_database, replace=True)
        assert content(own_database) == before
        file = make_backup(own_database, tmp_path / f"kept{turn}.backup")
    if own_database.startswith("sqlite"):
        assert "since then 1" in label_texts(f"{own_database}.replaced")


def test_a_file_that_is_no_backup_changes_nothing(own_database: str, tmp_path: Path) -> None:
    before = content(own_database)
    notes = tmp_path / "notes"
    notes.write_text("these are my notes")
    with pytest.raises(Invalid, match="no backup"):
        bring_back(notes, own_database, replace=True)
    with pytest.raises(NotFound, match="no backup"):
        bring_back(tmp_path / "missing", own_database, replace=True)
    cut = make_backup(own_database, tmp_path / "cut.backup")
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    with pytest.raises(Invalid):
        bring_back(cut, own_database, replace=True)
    assert content(own_database) == before


def test_a_backup_never_replaces_a_file(own_database: str, tmp_path: Path) -> None:
    file = tmp_path / "thesis.txt"
    file.write_text("years of work")
    with pytest.raises(Conflict, match="exists already"):
        make_backup(own_database, file)
    assert file.read_text() == "years of work"
    with pytest.raises(Invalid, match="no folder"):
        make_backup(own_database, tmp_path / "nowhere" / "x.backup")


def test_a_file_that_is_served_is_not_replaced_under_its_server(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    Database(url).close()
    served = Database(url)
    file = make_backup(url, tmp_path / "kept.backup")
    with pytest.raises(Busy, match="stop the server"):
        bring_back(file, url, replace=True)
    served.close()
    bring_back(file, url, replace=True)


def test_a_backup_of_the_other_kind_says_what_to_do(
    postgres: Postgres, own_database: str, another: str, tmp_path: Path
) -> None:
    file = make_backup(own_database, tmp_path / "kept.backup")
    other = postgres.new_database() if own_database.startswith("sqlite") else f"sqlite:///{tmp_path / 'other.db'}"
    with pytest.raises(Invalid, match=r"copy|PostgreSQL"):
        bring_back(file, other)


def test_a_backup_of_a_newer_schema_is_refused_and_named(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    file = make_backup(url, tmp_path / "kept.backup")
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Conflict, match="schema 9999"):
        bring_back(file, f"sqlite:///{tmp_path / 'another.db'}")
