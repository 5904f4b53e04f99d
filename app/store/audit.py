"""The audit log: every request that stored something, with what it changed, in the same transaction."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import event, inspect, select
from sqlalchemy.orm import ORMExecuteState, Session

from app.domain import Slice
from app.roles import Person
from app.store.access_tables import AuditRow
from app.store.paged import read_page

SHOWN_CHARACTERS = 300
# Hashes of secrets and keys stay out of the log; so do a label's words, which its text says.
UNSAID = frozenset(("hash", "value", "words"))


@dataclass(frozen=True)
class AuditEntry:
    """changes: one line for each row that was added, changed or removed."""

    at: datetime
    who: str
    how: str
    request: str
    changes: Sequence[str]


@contextmanager
def audited(session: Session, person: Person, request: str) -> Iterator[None]:
    """What is stored in the session is put into the log; nothing is where nothing was stored."""
    changes: list[str] = []

    @event.listens_for(session, "after_flush")
    def note_rows(_session: Session, _flush: object) -> None:
        for done, rows in (("added", session.new), ("changed", session.dirty), ("removed", session.deleted)):
            changes.extend(line for row in rows if (line := _described(done, row)) is not None)

    @event.listens_for(session, "do_orm_execute")
    def note_statement(state: ORMExecuteState) -> None:
        if state.is_insert or state.is_update or state.is_delete:
            table = str(state.bind_mapper.local_table) if state.bind_mapper is not None else "rows"
            changes.append(f"{'added' if state.is_insert else 'changed' if state.is_update else 'removed'} in {table}")

    yield
    session.flush()
    if changes:
        row = AuditRow(at=datetime.now(UTC), who=person.name or "", how=person.how, request=request, changes=changes[:])
        session.add(row)


def list_audit(session: Session, who: str | None, cursor: str | None, limit: int) -> Slice[AuditEntry]:
    """The newest entries first. Raises Invalid for a cursor of another list."""
    query = select(AuditRow)
    if who is not None:
        query = query.where(AuditRow.who == who)
    page = read_page(session, query, AuditRow.id, int, cursor, limit, is_descending=True)
    entries = [AuditEntry(row.at, row.who, row.how, row.request, row.changes) for row in page.items]
    return replace(page, items=entries)


def _described(done: str, row: Any) -> str | None:
    state = inspect(row)
    table = str(state.mapper.local_table)
    if isinstance(row, AuditRow):
        return None
    key = "/".join(str(value) for value in state.mapper.primary_key_from_instance(row)) if table != "sign_ins" else ""
    values = []
    for attribute in state.mapper.column_attrs:
        history = state.attrs[attribute.key].history
        if attribute.key in UNSAID or (done == "changed" and not history.has_changes()):
            continue
        if done != "changed" and getattr(row, attribute.key) is None:
            continue
        values.append(f"{attribute.key}={_short(getattr(row, attribute.key))}")
    if done == "changed" and not values:
        return None
    return f"{done} {table} {key}: " + ", ".join(values)


def _short(value: object) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
