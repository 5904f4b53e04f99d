"""One database into another, of either kind: published dictionaries and everything that people wrote."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy import Column, Connection, Select, Table, func, insert, select, text
from sqlalchemy.orm import Session

from app.errors import Conflict, FeaturescopeError
from app.store import access_tables  # noqa: F401  # its tables are copied too
from app.store.database import Database
from app.store.search_index import index_everything
from app.store.tables import DERIVED, Base, DictionaryRow

ROWS_AT_ONCE = 5000
Report = Callable[[int, int], None]  # done, total


@dataclass(frozen=True)
class CopiedTable:
    """checksum: of the rows as Python values, whatever their order; the same in both databases."""

    name: str
    n_rows: int
    checksum: str


class CopyDiffers(FeaturescopeError):
    """What arrived is not what was sent; nothing was kept."""


def copy_database(source: Database, target: Database, report: Report) -> list[CopiedTable]:
    """One state of the source, in one transaction of the target. Raises Conflict where the target holds anything."""
    with source.read() as reading, target.write() as writing:
        _check_empty(writing, target)
        total = sum(_count(reading, table) for table in copied_tables())
        done = 0
        copied = []
        for table in copied_tables():
            sent = Checksum(table)
            for rows in _pieces(_rows(reading, table)):
                sent.add(rows)
                writing.execute(insert(table), [dict(zip(_names(table), row, strict=True)) for row in rows])
                done += len(rows)
                report(done, total)
            arrived = Checksum(table)
            for rows in _pieces(_rows(writing, table)):
                arrived.add(rows)
            if sent.result() != arrived.result():
                raise CopyDiffers(f"The table {table.name} arrived other than it was sent; nothing was copied.")
            copied.append(sent.result())
        _continue_numbers(writing.connection())
        index_everything(writing)
    return copied


def copied_tables() -> list[Table]:
    """Every table but those that are made from others, those that others refer to first."""
    return [table for table in Base.metadata.sorted_tables if not table.info.get(DERIVED)]


class Checksum:
    """Adds rows up: the sum of their hashes, so that the order in which a database gives them does not matter."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.n_rows = 0
        self.sum = 0

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        for row in rows:
            digest = hashlib.blake2b(_canonical(row), digest_size=16).digest()
            self.sum = (self.sum + int.from_bytes(digest, "big")) % (1 << 128)
        self.n_rows += len(rows)

    def result(self) -> CopiedTable:
        return CopiedTable(self.table.name, self.n_rows, f"{self.sum:032x}")


def _canonical(row: Sequence[Any]) -> bytes:
    return "\x1f".join(_written(value) for value in row).encode("utf-8", "surrogatepass")


def _written(value: Any) -> str:
    """A value as text that tells it from every other of its column."""
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    if isinstance(value, Mapping | list):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return repr(value)


def _rows(session: Session, table: Table) -> Iterator[Sequence[Any]]:
    query = _published(select(table), table)
    return iter(session.execute(query.execution_options(yield_per=ROWS_AT_ONCE)))


def _count(session: Session, table: Table) -> int:
    return session.scalar(_published(select(func.count()).select_from(table), table)) or 0


def _published(query: Select[Any], table: Table) -> Select[Any]:
    """Without what belongs to builds that are not published: they may be running, or were given up."""
    if table is DictionaryRow.__table__:
        return query.where(DictionaryRow.published)
    if (key := _build_column(table)) is not None:
        return query.where(key.in_(select(DictionaryRow.key).where(DictionaryRow.published)))
    return query


def _build_column(table: Table) -> Column[Any] | None:
    """The column that names the build a row belongs to."""
    return next((c for c in table.c if any(f.column is DictionaryRow.__table__.c.key for f in c.foreign_keys)), None)


def _names(table: Table) -> list[str]:
    return [column.key for column in table.c]


def _check_empty(session: Session, target: Database) -> None:
    for table in copied_tables():
        if session.scalar(select(func.count()).select_from(table)):
            raise Conflict(f"{target.name} is not empty ({table.name}); copy into a new database.")


def _continue_numbers(connection: Connection) -> None:
    """PostgreSQL counts on from the highest number that came; SQLite sees to it itself."""
    if connection.dialect.name != "postgresql":
        return
    for table in copied_tables():
        for column in table.primary_key.columns:
            if column is table.autoincrement_column:
                sequence = text("SELECT pg_get_serial_sequence(:table, :column)")
                name = connection.scalar(sequence, {"table": f'"{table.name}"', "column": column.name})
                if name is not None:
                    highest = connection.scalar(select(func.max(column)))
                    connection.execute(
                        text("SELECT setval(:name, :n, :used)"),
                        {"name": name, "n": highest or 1, "used": highest is not None},
                    )


def _pieces(rows: Iterator[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    while some := list(islice(rows, ROWS_AT_ONCE)):
        yield some
