"""A database as one file and back: SQLite's online backup, pg_dump and pg_restore. Servers go on meanwhile."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from sqlalchemy import URL, Engine, create_engine, inspect, make_url
from sqlalchemy.exc import DatabaseError

from app.errors import Busy, Conflict, Invalid, NotFound
from app.store.database import Database
from app.store.failures import describe_failure

PAGES_A_STEP = 2000
SQLITE_MAGIC = b"SQLite format 3\0"
PG_DUMP_MAGIC = b"PGDMP"
REPLACED = "replaced_by_restore"  # the schema where PostgreSQL keeps what a restored backup took the place of
DEBIAN_PROGRAMS = Path("/usr/lib/postgresql")  # the newest version's are also found where they are not in PATH
WITHOUT = {  # what to do where PostgreSQL's own programs are not installed, as in the Docker images
    "pg_dump": "copy the database into a file instead (featurescope copy --from URL --to FILE), or have its server's "
    "container write it (docker compose exec -T postgres pg_dump -U featurescope -Fc featurescope > FILE)",
    "pg_restore": "restore it where they are, or in its server's container (docker compose exec -T postgres "
    "pg_restore -U featurescope -d featurescope --single-transaction --no-owner < FILE)",
}
Report = Callable[[int, int], None]  # done, total


def back_up(database: Database, file: Path, report: Report) -> None:
    """One state of the database, whole or not at all. Raises Invalid, Conflict, Busy, FullDisk."""
    if file.exists():
        raise Conflict(f"{file} exists already; a backup never replaces a file. Give another name.")
    if not file.parent.is_dir():
        raise Invalid(f"There is no folder {file.parent} for the backup; make it, or give another path.")
    partial = file.with_name(f"{file.name}.partial")
    try:
        if database.is_sqlite:
            _copy_sqlite(Path(database.engine.url.database or ""), partial, report)
        else:
            _dump(database.engine.url, partial)
        _settle(partial, file)
    finally:
        partial.unlink(missing_ok=True)


def restore(file: Path, url: str, replace: bool, report: Report) -> None:
    """The database of a backup at the URL. What was there goes only where `replace` says so; a SQLite file is kept.

    Raises NotFound, Invalid, Conflict where something is there, Busy where it is in use.
    """
    if not file.is_file():
        raise NotFound(f"There is no backup {file}.")
    with file.open("rb") as opened:
        begins = opened.read(len(SQLITE_MAGIC))
    parsed = make_url(url)
    if begins == SQLITE_MAGIC:
        if parsed.get_backend_name() != "sqlite":
            raise Invalid(
                f"{file} is a backup of a SQLite database; restore it to a file (--db), and copy that to PostgreSQL "
                "with `featurescope copy`."
            )
        _restore_sqlite(file, Path(parsed.database or ""), replace, report)
    elif begins.startswith(PG_DUMP_MAGIC):
        if parsed.get_backend_name() != "postgresql":
            raise Invalid(f"{file} is a backup of a PostgreSQL database; give the URL of one with --db.")
        _restore_postgresql(file, parsed, replace)
    else:
        raise Invalid(f"{file} is no backup made by `featurescope backup`.")
    Database(url).close()  # an older schema is brought to the newest, a newer one is refused


def _copy_sqlite(source: Path, target: Path, report: Report) -> None:
    """Within one read transaction, so that writers neither wait nor make the copy begin anew."""
    target.unlink(missing_ok=True)
    try:
        with (
            closing(sqlite3.connect(source, isolation_level=None)) as reading,
            closing(sqlite3.connect(target)) as writing,
        ):
            reading.execute("BEGIN")
            reading.execute("SELECT count(*) FROM sqlite_master").fetchone()
            reading.backup(
                writing,
                pages=PAGES_A_STEP,
                progress=lambda _status, remaining, total: report(total - remaining, total),
                sleep=0,
            )
            found = writing.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise describe_failure(source.name, error) or error from error
    if found != "ok":
        raise Invalid(f"The database {source.name} is damaged ({found}); restore it from an older copy.")


def _restore_sqlite(file: Path, target: Path, replace: bool, report: Report) -> None:
    if not target.parent.is_dir():
        raise Invalid(f"There is no folder {target.parent} for the database {target.name}; make it first.")
    if target.exists() and not replace:
        raise Conflict(f"{target} exists already; give --replace to put the backup in its place (it is kept beside).")
    arriving = target.with_name(f"{target.name}.restoring")
    try:
        _copy_sqlite(file, arriving, report)
        if target.exists():
            _check_unused(target)
            target.replace(target.with_name(f"{target.name}.replaced"))
        _settle(arriving, target)
    finally:
        for rest in (arriving, *(arriving.with_name(arriving.name + end) for end in ("-wal", "-shm", "-journal"))):
            rest.unlink(missing_ok=True)


def _check_unused(file: Path) -> None:
    """Leaving write-ahead mode needs the file for oneself; it also brings everything into the file. Raises Busy."""
    connection = sqlite3.connect(file, timeout=1)
    try:
        connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError as error:
        raise Busy(
            f"{file.name} is open in another process: stop the server, and start it again afterwards."
        ) from error
    except sqlite3.DatabaseError:
        pass  # what is replaced may be damaged
    finally:
        connection.close()


def _settle(partial: Path, file: Path) -> None:
    """On the disk before it gets its name."""
    with partial.open("rb") as opened:
        os.fsync(opened.fileno())
    partial.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _dump(url: URL, file: Path) -> None:
    excluded = f"--exclude-schema={REPLACED}"
    _run_postgresql(url, "pg_dump", "--format=custom", "--no-owner", "--no-privileges", excluded, f"--file={file}")


def _restore_postgresql(file: Path, url: URL, replace: bool) -> None:
    """What was there moves to a schema of its own, and back where the backup cannot be read."""
    name = f"the PostgreSQL database {url.database}"
    engine = create_engine(url)
    try:
        occupied = bool(inspect(engine).get_table_names())
        if occupied and not replace:
            raise Conflict(f"{name} is not empty; give --replace to put the backup in its place (it is kept beside).")
        if occupied:
            _execute(engine, f"DROP SCHEMA IF EXISTS {REPLACED} CASCADE", *_moved("public", REPLACED))
        try:
            options = ("--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges")
            _run_postgresql(url, "pg_restore", *options, str(file.resolve()))
        except BaseException:
            if occupied:
                _execute(engine, "DROP SCHEMA public CASCADE", f"ALTER SCHEMA {REPLACED} RENAME TO public")
            raise
    except DatabaseError as error:
        raise describe_failure(name, error.orig) or error from error
    finally:
        engine.dispose()


def _moved(schema: str, to: str) -> tuple[str, str]:
    return f"ALTER SCHEMA {schema} RENAME TO {to}", f"CREATE SCHEMA {schema}"


def _execute(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def _run_postgresql(url: URL, program: str, *arguments: str) -> None:
    """The password goes by the environment, which no other user of the machine sees."""
    found = shutil.which(program) or _debian_program(program)
    if found is None:
        raise Invalid(
            f"{program} is not installed here: install PostgreSQL's client programs (on Debian postgresql-client), "
            f"or {WITHOUT[program]}."
        )
    environment = {**os.environ, "PGPASSWORD": url.password or os.environ.get("PGPASSWORD", "")}
    where = ["--host", url.host, "--port", str(url.port or 5432), "--username", url.username, "--dbname", url.database]
    connection = _given(where)
    done = subprocess.run(  # noqa: S603  # a fixed program, and arguments that no shell reads
        [found, *connection, "--no-password", *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        failure = describe_failure(f"the PostgreSQL database {url.database}", RuntimeError(done.stderr))
        raise failure or Invalid(f"{program} failed: {said[-1] if said else 'it gave no reason'}")


def _given(options: Sequence[str | None]) -> list[str]:
    """Options with their values, those without a value left out."""
    pairs = zip(options[::2], options[1::2], strict=True)
    return [part for name, value in pairs if name and value for part in (name, value)]


def _debian_program(program: str) -> str | None:
    found = sorted(DEBIAN_PROGRAMS.glob(f"*/bin/{program}"), key=lambda file: float(file.parent.parent.name))
    return str(found[-1]) if found else None
