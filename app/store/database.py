"""One database: opened, brought to the newest schema, read and written in sessions."""

import json
import math
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from app.errors import Busy, Conflict, Invalid
from app.store.failures import describe_failure
from app.store.turns import Turn, Turns

SCHEMA = "0006"  # the newest revision in migrations/versions
BUSY_SECONDS = 10
TURN_SECONDS = 30  # for the writers of this process that came before
MIGRATION_SECONDS = 600  # how long a process waits for another one that migrates
READERS = 40  # connections of one process: as many as the server has threads that answer, so that none waits for one
WRITERS = 8
SQLITE_STEPS = 200_000  # of SQLite's virtual machine, a few milliseconds, between two looks at the clock
MIGRATIONS = Path(__file__).resolve().parent / "migrations"
# PostgreSQL's locks of our own: any two numbers that no other program on the same database uses.
_WRITER, _MIGRATION, _BUILD = 0x5AE_0001, 0x5AE_0002, 0x5AE_0003


class Database:
    """Opened by its URL. Raises Invalid for what cannot be opened, Conflict for a schema newer than this program.

    name: for messages, which also reach people who must not learn where the database lies.
    read_seconds: what `read` may take before it is stopped and raises Busy: a whole session on SQLite, one statement
    on PostgreSQL; None for no end.
    """

    def __init__(self, url: str, read_seconds: int | None = None) -> None:
        try:
            parsed = make_url(url)
            if parsed.get_backend_name() == "sqlite" and parsed.database:
                _check_folder(Path(parsed.database))
            self.name = _name(parsed)
            self.engine = _open(parsed, READERS, read_seconds, "REPEATABLE READ")
            # Writers have connections of their own: who reads and then writes never waits for another who does.
            self._writers = _open(parsed, WRITERS, None)
            self._watching = _open(parsed, 1, None)
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError, ValueError) as error:
            raise Invalid(_unusable(url, error)) from error
        self._watcher: Any = None
        self._watch_lock = Lock()
        self._turns = Turns()
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self._writing = self._writers.execution_options(writes=True)
        with self.errors():
            self._prepare()

    def close(self) -> None:
        self.engine.dispose()
        self._writers.dispose()
        with self._watch_lock:
            self._watcher = None
            self._watching.dispose()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one state of the database for as long as it lives."""
        with self.errors(), Session(self.engine) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session in one transaction, committed at the end, undone where an error leaves it.

        Writers queue, one at a time over all processes: what one reads before it writes no other changes meanwhile.
        The session is in the queue from its first statement on.
        """
        turn = Turn(self._turns)
        try:
            with self.errors(), Session(self._writing.execution_options(turn=turn)) as session, session.begin():
                yield session
        finally:
            turn.end()

    def version(self) -> object:
        """The same for as long as nobody commits anything, in this process or another; another one afterwards."""
        with self._watch_lock:
            try:
                if self._watcher is None:
                    self._watcher = self._watching.connect().execution_options(isolation_level="AUTOCOMMIT")
                if not self.is_sqlite:
                    return self._watcher.exec_driver_sql("SELECT pg_current_snapshot()::text").scalar()
                # SQLite tells a connection of the commits of others, and this one makes none. Asked of the driver: the
                # way through SQLAlchemy takes four times as long, and every live answer goes it twice.
                return self._watcher.connection.driver_connection.execute("PRAGMA data_version").fetchone()[0]
            except (DatabaseError, sqlite3.DatabaseError):
                self._watcher = None
                return object()  # like no other; what is wrong shows where the database is read

    @contextmanager
    def outside_transaction(self) -> Iterator[Connection]:
        """A connection whose every statement stands alone, for what cannot run within a transaction."""
        options: dict[str, Any] = {"outside_transaction": True} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        with self.errors(), self.engine.connect() as connection:
            yield connection.execution_options(**options)

    @contextmanager
    def only_build(self, id: str) -> Iterator[None]:
        """One build of an id at a time among all machines that share a PostgreSQL; on SQLite nothing is shared.

        The lock goes with the connection, however the process ends. Raises Conflict.
        """
        if self.is_sqlite:
            yield
            return
        with self.outside_transaction() as connection:
            lock = {"kind": _BUILD, "id": id}
            if not connection.scalar(text("SELECT pg_try_advisory_lock(:kind, hashtext(:id))"), lock):
                raise Conflict(f"Another process is building {id!r} in {self.name}; wait for it, or stop it first.")
            try:
                yield
            finally:
                with suppress(DatabaseError):  # the server has gone
                    # The connection's end alone lets it go a moment later: too late for who builds at once.
                    connection.execute(text("SELECT pg_advisory_unlock(:kind, hashtext(:id))"), lock)
                connection.invalidate()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raises a database's own errors as domain errors that say what to do."""
        try:
            yield
        except PoolTimeout as error:
            raise Busy(f"Every connection to {self.name} is in use; try again in a moment.") from error
        except DatabaseError as error:
            described = describe_failure(self.name, error.orig)
            if described is None:
                raise
            raise described from error

    def _prepare(self) -> None:
        """Looks before it locks: a database that has the newest schema opens while others write."""
        with self.engine.connect() as connection:
            if self.is_sqlite:
                self._use_write_ahead_log(connection)
            if self._found_schema(connection) == SCHEMA:
                return
        with self._writers.connect() as connection:  # which may take as long as it takes
            self._wait_for_other_migrations(connection)
            with connection.execution_options(writes=True).begin():
                if not self.is_sqlite:
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION})")
                found = self._found_schema(connection)
                if found != SCHEMA:
                    self._migrate(connection, found)
            connection.invalidate()  # it waits longer than the others may

    def _wait_for_other_migrations(self, connection: Connection) -> None:
        driver = connection.connection.driver_connection
        assert driver is not None
        seconds = MIGRATION_SECONDS * 1000
        driver.execute(f"PRAGMA busy_timeout = {seconds}" if self.is_sqlite else f"SET lock_timeout = {seconds}")
        if not self.is_sqlite:
            driver.commit()

    def _use_write_ahead_log(self, connection: Connection) -> None:
        """Readers and one writer at once. Kept in the file, so it fails only where the file cannot be written."""
        driver = connection.connection.driver_connection
        assert driver is not None
        try:
            driver.execute("PRAGMA journal_mode = WAL")
        except sqlite3.DatabaseError as error:
            if "readonly" not in str(error):
                raise describe_failure(self.name, error) or error from error

    def _found_schema(self, connection: Connection) -> str | None:
        """None: the database is empty. Raises Invalid for another program's."""
        tables = set(inspect(connection).get_table_names())
        if "alembic_version" in tables:
            found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
            return str(found) if found is not None else None
        if tables:
            raise Invalid(f"{self.name} holds other tables and none of Featurescope's; give another one with --db.")
        return None

    def _migrate(self, connection: Connection, found: str | None) -> None:
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


def _name(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return Path(url.database).name if url.database else "the database in memory"
    return f"the PostgreSQL database {url.database}"


def _unusable(url: str, error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name == "psycopg":
        return "PostgreSQL needs psycopg: pip install 'featurescope[postgresql]'."
    return f"{url.split('://')[0]}:// is no database that can be used here: {error}"


def _check_folder(file: Path) -> None:
    folder = file.parent
    if not folder.is_dir():
        raise Invalid(f"There is no folder {folder} for the database {file.name}; make it, or give another --db.")
    if file.is_dir():
        raise Invalid(f"{file} is a folder; give the path of a database file with --db.")


def _open(url: URL, connections: int, seconds: int | None, isolation: str | None = None) -> Engine:
    """isolation: of PostgreSQL, for connections that only read. It goes with them: to set it each time takes longer."""
    backend = url.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise ArgumentError("Featurescope runs on SQLite and PostgreSQL")
    arguments: dict[str, Any] = {"timeout": BUSY_SECONDS, "check_same_thread": False}
    if backend == "postgresql":
        arguments = {
            "connect_timeout": BUSY_SECONDS,
            "application_name": "featurescope",
            # Pages are in memory or on a disk without a head: a search by its default (4) walks all sentences in their
            # order rather than taking those with the word from their index, ten times as long.
            "options": f"-c lock_timeout={BUSY_SECONDS}s -c statement_timeout={seconds or 0}s -c random_page_cost=1.1",
        }
    engine = create_engine(
        url,
        connect_args=arguments,
        isolation_level=isolation if backend == "postgresql" else None,
        json_serializer=_compact_json,
        hide_parameters=True,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=BUSY_SECONDS,
        # A connection that the server's restart has cut is replaced before it is used.
        pool_pre_ping=backend == "postgresql",
    )
    if backend == "sqlite":
        _prepare_sqlite(engine, seconds)
    else:
        _prepare_postgresql(engine, is_reading=isolation is not None)
    return engine


def _compact_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _prepare_sqlite(engine: Engine, seconds: int | None) -> None:
    """Transactions begun by us and not by the driver, so that reads too see one state, and writers queue at once."""

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        # A label that was acknowledged is on the disk, whatever happens to the machine.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cache_size = -16000")
        connection.execute("PRAGMA mmap_size = 1000000000")
        if seconds is not None:
            known = record.info  # of this connection, and the same for as long as it is open
            connection.set_progress_handler(lambda: time.monotonic() > known.get("until", math.inf), SQLITE_STEPS)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if seconds is not None:
            connection.info["until"] = time.monotonic() + seconds
        options = connection.get_execution_options()
        _take_turn(connection)
        if not options.get("outside_transaction", False):
            if options.get("writes", False):
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:  # which waits for nobody; SQLAlchemy takes longer over it than over a page's smallest query
                connection.connection.cursor().execute("BEGIN")


def _prepare_postgresql(engine: Engine, is_reading: bool) -> None:
    """The same queue of writers as in SQLite, by a lock that goes with the transaction."""
    if is_reading:

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, _record: ConnectionPoolEntry) -> None:
            connection.read_only = True

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        _take_turn(connection)
        if connection.get_execution_options().get("writes", False):
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER})")


def _take_turn(connection: Connection) -> None:
    """Among the writers of this process; only one of them waits for those of others."""
    turn: Turn | None = connection.get_execution_options().get("turn")
    if turn is not None and not turn.take(TURN_SECONDS):
        raise Busy("Many are writing at once; try again in a moment.")
