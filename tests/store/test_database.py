import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text, update

from app.errors import Busy, Conflict, Invalid, Unavailable
from app.settings import database_url as url_of
from app.store.database import SCHEMA, Database
from app.store.dictionaries import list_dictionaries
from app.store.labels import add_label, list_labels
from app.store.sentences import get_sentence
from app.store.tables import SentenceRow
from tests.conftest import index_into, index_tiny
from tests.postgres import Postgres
from tests.tiny import Tiny


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(url_of(database_url))
    yield opened
    opened.close()


def test_a_new_database_has_the_newest_schema(database: Database) -> None:
    with database.read() as session:
        assert session.scalar(text("SELECT version_num FROM alembic_version")) == SCHEMA


def test_a_new_file_has_a_write_ahead_log(tmp_path: Path) -> None:
    Database(f"sqlite:///{tmp_path / 'new.db'}").close()
    with sqlite3.connect(tmp_path / "new.db") as connection:
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


def test_a_newer_schema_asks_for_an_update(database_url: str) -> None:
    database = Database(url_of(database_url))
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    with pytest.raises(Conflict, match="schema 9999, made by a newer Featurescope"):
        Database(url_of(database_url))


def test_many_processes_may_open_an_empty_database_at_once(database_url: str) -> None:
    """Each thread opens its own connections, as a process does; only one of them migrates."""
    opened: list[Database] = []
    failed: list[BaseException] = []

    def open_it() -> None:
        try:
            opened.append(Database(url_of(database_url)))
        except BaseException as error:  # shown by the assertion below
            failed.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    for database in opened:
        with database.read() as session:
            assert list_dictionaries(session) == []
        database.close()


def test_a_reader_sees_one_state_while_others_write(database: Database, tiny: Tiny, tmp_path: Path) -> None:
    with database.read() as session:
        assert list_dictionaries(session) == []
        index_into(tiny, database.engine.url.render_as_string(hide_password=False), tmp_path / "work")
        assert list_dictionaries(session) == []
    with database.read() as session:
        assert [found.id for found in list_dictionaries(session)] == ["tiny"]


def test_writers_queue_so_that_what_one_reads_no_other_changes(database: Database) -> None:
    with database.write() as session:
        session.execute(text("CREATE TABLE counter (n INTEGER)"))
        session.execute(text("INSERT INTO counter VALUES (0)"))

    def count() -> None:
        for _ in range(5):
            with database.write() as session:
                n = session.scalar(text("SELECT n FROM counter"))
                time.sleep(0.002)
                session.execute(text("UPDATE counter SET n = :n"), {"n": n + 1})

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert session.scalar(text("SELECT n FROM counter")) == 20


def test_a_locked_database_says_so_and_readers_go_on(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.store.database.BUSY_SECONDS", 1)
    holder, database = Database(url_of(database_url)), Database(url_of(database_url))
    with holder.write() as held:
        held.execute(text("SELECT 1"))
        with pytest.raises(Busy, match="locked"), database.write() as session:
            session.execute(text("SELECT 1"))
        with database.read() as session:
            assert list_dictionaries(session) == []
        another = Database(url_of(database_url))  # opening what is up to date needs no lock
        another.close()
    holder.close()
    database.close()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no folder"):
        Database(f"sqlite:///{tmp_path / 'nowhere' / 'x.db'}")


@pytest.mark.parametrize(
    ("url", "error", "says"),
    [
        ("postgresql+psycopg://a:b@127.0.0.1:1/x", Unavailable, "cannot be reached"),
        ("postgresql+psycopg://a:b@127.0.0.1:many/x", Invalid, "many"),
        ("mysql://a:b@127.0.0.1/x", Invalid, "mysql:// is no database"),
    ],
)
def test_a_url_that_leads_nowhere_says_why(url: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        Database(url)


def test_a_wrong_password_and_a_missing_database_are_named(postgres: Postgres) -> None:
    url = url_of(postgres.new_database())
    with pytest.raises(Invalid, match="user or password"):
        Database(url.replace(postgres.password, "wrong"))
    with pytest.raises(Invalid, match="does not exist"):
        Database(f"{url}_missing")


def test_machines_that_share_a_postgresql_build_one_id_at_a_time(postgres: Postgres) -> None:
    url = url_of(postgres.new_database())
    one, other = Database(url), Database(url)
    refused = pytest.raises(Conflict, match="Another process is building 'tiny'")
    with one.only_build("tiny"), other.only_build("seed"), refused, other.only_build("tiny"):
        pass
    for _ in range(20):  # as soon as the one has done, the other may
        with one.only_build("tiny"):
            pass
        with other.only_build("tiny"):
            pass
    one.close()
    other.close()


def test_a_build_whose_postgresql_has_gone_comes_to_its_end(postgres: Postgres) -> None:
    database = Database(url_of(postgres.new_database()))
    with database.only_build("tiny"):
        postgres.stop()
    postgres.start()
    with database.only_build("tiny"):
        pass
    database.close()


def test_a_database_comes_back_after_its_server_was_restarted(postgres: Postgres) -> None:
    database = Database(url_of(postgres.new_database()))

    def read_while_it_stops() -> None:
        with database.read() as session:
            list_dictionaries(session)
            postgres.stop()
            list_dictionaries(session)

    with pytest.raises(Unavailable, match="cannot be reached"):
        read_while_it_stops()
    with pytest.raises(Unavailable, match="cannot be reached"), database.read() as session:
        list_dictionaries(session)
    postgres.start()
    with database.read() as session:
        assert list_dictionaries(session) == []
    database.close()


def test_a_text_with_nul_comes_back_as_it_was(database_url: str, tiny: Tiny, tmp_path: Path) -> None:
    corpus = tmp_path / "nul.jsonl"
    corpus.write_text('{"text": "The match and the court", "note": "a\\u0000b"}\n')
    made = index_into(tiny, database_url, tmp_path / "work", corpus=[str(corpus)], quality_tokens=0)
    database = Database(url_of(database_url))
    with database.write() as session:
        session.execute(update(SentenceRow).values(text="The match\0and the court"))
    with database.read() as session:
        sentence = get_sentence(session, made, 0)
    database.close()
    assert sentence.text == "The match\0and the court"
    assert sentence.metadata == {"note": "a\0b"}


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


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def test_a_read_that_takes_too_long_is_stopped_and_the_next_one_works(database_url: str) -> None:
    database = Database(url_of(database_url), read_seconds=1)
    began = time.monotonic()
    with pytest.raises(Busy, match="took too long to answer and was stopped"), database.read() as session:
        session.scalar(text(ENDLESS))
    assert 1 <= time.monotonic() - began < 10
    with database.read() as session:
        assert list_dictionaries(session) == []
    database.close()


def test_an_acknowledged_write_to_a_file_is_on_the_disk(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'new.db'}")
    with database.write() as session:
        assert session.scalar(text("PRAGMA synchronous")) == 2, "FULL: the log is synced at every commit"
    database.close()
