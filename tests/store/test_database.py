import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text

from app.errors import Busy, Conflict, Invalid
from app.store.database import SCHEMA, Database
from app.store.dictionaries import list_dictionaries
from app.store.labels import add_label, list_labels
from tests.conftest import index_tiny
from tests.tiny import Tiny


def test_a_new_database_has_the_newest_schema_and_write_ahead_log(tmp_path: Path) -> None:
    Database(f"sqlite:///{tmp_path / 'new.db'}").close()
    with sqlite3.connect(tmp_path / "new.db") as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(SCHEMA,)]
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "notes.db"
    file.write_text("these are my notes, " * 100)
    with pytest.raises(Invalid, match="not a database"):
        Database(f"sqlite:///{file}")
    assert file.read_text().startswith("these are my notes")


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE recipes (id INTEGER)")
    with pytest.raises(Invalid, match="other tables"):
        Database(f"sqlite:///{file}")


def test_a_newer_schema_asks_for_an_update(tmp_path: Path) -> None:
    file = tmp_path / "newer.db"
    Database(f"sqlite:///{file}").close()
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Conflict, match="newer Featurescope"):
        Database(f"sqlite:///{file}")


def test_a_locked_database_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.store.database.BUSY_SECONDS", 0.2)
    file = tmp_path / "x.db"
    database = Database(f"sqlite:///{file}")
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(Busy, match="locked"), database.write() as session:
        session.execute(text("SELECT 1"))
    with database.read() as session:  # readers go on
        assert list_dictionaries(session) == []
    holder.close()
    database.close()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no folder"):
        Database(f"sqlite:///{tmp_path / 'nowhere' / 'x.db'}")


def test_replacing_a_dictionary_keeps_its_labels(tiny: Tiny, tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    first = index_tiny(tiny, path)
    database = Database(f"sqlite:///{path}")
    with database.write() as session:
        add_label(session, first, 3, "about tennis", "Ada")
    second = index_tiny(tiny, path, replace=True)
    with database.read() as session:
        assert [label.text for label in list_labels(session, second, 3)] == ["about tennis"]
    database.close()
