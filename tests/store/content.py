"""What a database holds, to be compared before and after."""

from sqlalchemy import select

from app.settings import database_url
from app.store.copy import Checksum, CopiedTable, copied_tables
from app.store.database import Database


def content(url: str) -> list[CopiedTable]:
    """Every table's rows counted and summed up."""
    database = Database(database_url(url))
    try:
        with database.read() as session:
            found = []
            for table in copied_tables():
                sums = Checksum(table)
                sums.add(session.execute(select(table)).all())
                found.append(sums.result())
            return found
    finally:
        database.close()


def label_texts(url: str) -> list[str]:
    from app.store.tables import LabelRow

    database = Database(database_url(url))
    try:
        with database.read() as session:
            return sorted(session.scalars(select(LabelRow.text)))
    finally:
        database.close()
