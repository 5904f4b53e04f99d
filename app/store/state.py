"""What can be said of a database as a whole: its schema and its size."""

from sqlalchemy.orm import Session


def stored_schema(session: Session) -> str:
    """The revision that the database has; another process may have brought it to a newer one."""
    return str(session.connection().exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one())


def size_in_bytes(session: Session) -> int:
    """On disk, what is freed and not yet given back included; SQLite's log of recent writes is not."""
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        return int(pages) * int(connection.exec_driver_sql("PRAGMA page_size").scalar_one())
    return int(connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())
