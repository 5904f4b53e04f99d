"""How much room the database takes, and giving back what is not needed."""

from pathlib import Path

from sqlalchemy import text

from app.store.database import Database

_SQLITE = ("VACUUM", "PRAGMA optimize", "PRAGMA wal_checkpoint(TRUNCATE)")
_POSTGRESQL = ("VACUUM (ANALYZE)",)


def database_size(database: Database) -> int:
    """Bytes on the disk, the write-ahead log included."""
    if database.is_sqlite:
        file = Path(database.engine.url.database or "")
        parts = (file, Path(f"{file}-wal"))
        return sum(part.stat().st_size for part in parts if part.exists())
    with database.read() as session:
        return session.scalar(text("SELECT pg_database_size(current_database())")) or 0


def vacuum(database: Database) -> None:
    """Readers go on; with SQLite writers wait, and it takes as much free room as the database is large.

    Raises Busy where another process writes, FullDisk.
    """
    statements = _SQLITE if database.is_sqlite else _POSTGRESQL
    with database.outside_transaction() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement).close()
