"""One database: opened, brought to the newest schema, and its errors put into words."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError
from sqlalchemy.orm import Session

from app.errors import Busy, Conflict, FeaturescopeError, Invalid, Unavailable

SCHEMA = "0001"  # the newest revision in migrations/versions
BUSY_SECONDS = 10
MIGRATIONS = Path(__file__).resolve().parent / "migrations"


class Database:
    """Opened by its URL. Raises Invalid for what cannot be opened, Conflict for a schema newer than this program."""

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
            if parsed.get_backend_name() == "sqlite" and parsed.database:
                _check_folder(Path(parsed.database))
            self.name = parsed.render_as_string(hide_password=True).removeprefix("sqlite:///")
            self.engine = create_engine(
                parsed, connect_args=_connect_args(parsed.get_backend_name()), json_serializer=_compact_json
            )
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            raise Invalid(f"{url.split('://')[0]}:// is no database that can be used here: {error}") from error
        if self.engine.dialect.name == "sqlite":
            _prepare_sqlite(self.engine)
        self._writing = self.engine.execution_options(writes=True)
        with self.errors(), self._writing.connect() as connection:
            if self.engine.dialect.name == "sqlite":
                self._use_write_ahead_log(connection)
            with connection.begin():
                self._migrate(connection)

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one state of the database for as long as it lives."""
        with self.errors(), Session(self.engine) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session in one transaction, committed at the end, undone where an error leaves it."""
        with self.errors(), Session(self._writing) as session, session.begin():
            yield session

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raises a database's own errors as domain errors that say what to do."""
        try:
            yield
        except DatabaseError as error:
            described = self._described(str(error.orig))
            if described is None:
                raise
            raise described from error

    def _described(self, what: str) -> FeaturescopeError | None:
        text = what.lower()
        if "is locked" in text or "lock timeout" in text:
            return Busy(f"The database {self.name} is locked by another process; try again when that has finished.")
        if "full" in text and ("disk" in text or "device" in text):
            return Unavailable(f"The disk of {self.name} is full; make room and try again. Nothing stored is lost.")
        if "readonly" in text or "read-only" in text:
            return Unavailable(f"{self.name} can only be read here: allow writing to it and to its folder.")
        if "not a database" in text:
            return Invalid(f"{self.name} is not a database; give another path with --db, or move that file away.")
        if "malformed" in text:
            return Invalid(f"The database {self.name} is damaged ({what}); restore it from a copy, or index again.")
        if "unable to open" in text or "disk i/o" in text:
            return Unavailable(f"{self.name} cannot be opened ({what}): is its folder there, writable and not full?")
        if "connection" in text and ("refused" in text or "failed" in text or "closed" in text):
            return Unavailable(f"The database {self.name} cannot be reached: {what.strip().splitlines()[0]}")
        return None

    def _use_write_ahead_log(self, connection: Connection) -> None:
        """Readers and one writer at once. Kept in the file, so it fails only where the file cannot be written."""
        driver = connection.connection.driver_connection
        assert driver is not None
        try:
            driver.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "readonly" not in str(error):
                described = self._described(str(error))
                if described is None:
                    raise
                raise described from error
        except sqlite3.DatabaseError as error:
            raise self._described(str(error)) or error from error

    def _migrate(self, connection: Connection) -> None:
        tables = set(inspect(connection).get_table_names())
        found = None
        if "alembic_version" in tables:
            found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        elif tables:
            raise Invalid(f"{self.name} holds other tables and none of Featurescope's; give another path with --db.")
        if found == SCHEMA:
            return
        # Imported only here: most starts find the newest schema.
        from alembic import command
        from alembic.config import Config
        from alembic.script import ScriptDirectory

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        known = {revision.revision for revision in ScriptDirectory.from_config(config).walk_revisions()}
        if found is not None and found not in known:
            raise Conflict(
                f"{self.name} has schema {found}, made by a newer Featurescope than this one (schema {SCHEMA}); "
                "update Featurescope, or give another path with --db."
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _check_folder(file: Path) -> None:
    folder = file.parent
    if not folder.is_dir():
        raise Invalid(f"There is no folder {folder} for the database {file.name}; make it, or give another --db.")
    if file.is_dir():
        raise Invalid(f"{file} is a folder; give the path of a database file with --db.")


def _connect_args(backend: str) -> dict[str, Any]:
    return {"timeout": BUSY_SECONDS, "check_same_thread": False} if backend == "sqlite" else {}


def _compact_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _prepare_sqlite(engine: Engine) -> None:
    """Transactions begun by us and not by the driver, so that reads too see one state, and writers queue at once."""

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA cache_size = -32000")
        connection.execute("PRAGMA mmap_size = 1000000000")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
