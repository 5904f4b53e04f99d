"""People whom OpenID Connect or a proxy names: the roles that they were given."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import Slice
from app.errors import NotFound
from app.roles import Grant, Role
from app.store.access_tables import PersonRow
from app.store.paged import read_page
from app.store.tokens import checked_name


def list_people(session: Session) -> list[Grant]:
    """By name."""
    return [_to_grant(row) for row in session.scalars(select(PersonRow).order_by(PersonRow.name))]


def page_of_people(session: Session, cursor: str | None, limit: int) -> Slice[Grant]:
    """The same, a page at a time. Raises Invalid for a cursor of another list."""
    page = read_page(session, select(PersonRow), PersonRow.name, str, cursor, limit)
    return replace(page, items=[_to_grant(row) for row in page.items])


def find_person(session: Session, name: str) -> Grant | None:
    row = session.get(PersonRow, name)
    return _to_grant(row) if row is not None else None


def set_person(session: Session, name: str, role: Role, dictionaries: Mapping[str, Role]) -> Grant:
    """These roles and no others, from the next request on. Raises Invalid for a name that cannot be kept."""
    kept = checked_name(name)
    row = session.get(PersonRow, kept)
    if row is None:
        row = PersonRow(name=kept, created_at=datetime.now(UTC))
        session.add(row)
    row.role = role.value
    row.dictionaries = {id: given.value for id, given in dictionaries.items()}
    session.flush()
    return _to_grant(row)


def remove_person(session: Session, name: str) -> None:
    """They are a newcomer again. Raises NotFound."""
    row = session.get(PersonRow, name)
    if row is None:
        raise NotFound(f"{name!r} was given no role.")
    session.delete(row)


def _to_grant(row: PersonRow) -> Grant:
    dictionaries = {id: Role(role) for id, role in row.dictionaries.items()}
    return Grant(row.name, Role(row.role), dictionaries, row.created_at)
