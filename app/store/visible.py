"""What a person's session sees of the database: private dictionaries are not there for whom they are not for.

The rule hangs on the session and not on each query, so that no list, count, search or error can forget it.
"""

from typing import Any

from sqlalchemy import ColumnElement, event, or_, select
from sqlalchemy.orm import InstrumentedAttribute, ORMExecuteState, Session, with_loader_criteria

from app.roles import Person, Role
from app.store.access_tables import PrivateDictionaryRow
from app.store.tables import Base, DictionaryRow


def restrict(session: Session, person: Person) -> None:
    """From here on the session sees only the dictionaries that the person may read, and what names them by id."""
    if person.role is Role.ADMIN:
        return
    given = [id for id, role in person.dictionaries.items() if role.includes(Role.READ)]
    withheld = [id for id, role in person.dictionaries.items() if not role.includes(Role.READ)]
    rules = [
        with_loader_criteria(model, _readable(column, person, given, withheld), include_aliases=True)
        for model, column in _columns_that_name_a_dictionary()
    ]

    @event.listens_for(session, "do_orm_execute")
    def apply(state: ORMExecuteState) -> None:
        if state.is_select and not state.is_column_load and not state.is_relationship_load:
            state.statement = state.statement.options(*rules)


def list_private(session: Session) -> set[str]:
    return set(session.scalars(select(PrivateDictionaryRow.id)))


def set_private(session: Session, id: str, private: bool) -> None:
    """From the next request on only those see it who were given a role over it, and admins; or everybody again."""
    row = session.get(PrivateDictionaryRow, id)
    if private and row is None:
        session.add(PrivateDictionaryRow(id=id))
    elif not private and row is not None:
        session.delete(row)


def _readable(
    column: InstrumentedAttribute[str], person: Person, given: list[str], withheld: list[str]
) -> ColumnElement[bool]:
    if not person.role.includes(Role.READ):
        return column.in_(given)
    public = column.not_in(select(PrivateDictionaryRow.id)) & column.not_in(withheld)
    return or_(public, column.in_(given))


def _columns_that_name_a_dictionary() -> list[tuple[type[Base], InstrumentedAttribute[str]]]:
    """DictionaryRow.id, and `dictionary_id` of every other table."""
    named: list[Any] = [mapper.class_ for mapper in Base.registry.mappers if "dictionary_id" in mapper.columns]
    columns: list[tuple[type[Base], InstrumentedAttribute[str]]] = [(model, model.dictionary_id) for model in named]
    return [(DictionaryRow, DictionaryRow.id), *columns]
