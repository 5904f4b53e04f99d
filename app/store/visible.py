"""What a person's session sees of the database: private dictionaries are not there for whom they are not for.

The rule hangs on the session and not on each query, so that no list, count, search or error can forget it.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Result, event, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Mapper, ORMExecuteState, Session, with_loader_criteria
from sqlalchemy.orm.util import LoaderCriteriaOption

from app.roles import Person, Role
from app.store.access_tables import PrivateDictionaryRow
from app.store.tables import Base, DictionaryRow


def restrict(session: Session, person: Person) -> None:
    """From here on the session sees only the dictionaries that the person may read, and what names them by id."""
    if person.role is Role.ADMIN or (_reads_all_public(person) and not _any_private(session)):
        session.info["sees_all"] = True  # there is nothing that they may not read, and a session sees one state
    else:
        restrict_unasked(session, person)


def restrict_unasked(session: Session, person: Person) -> None:
    """The same without a query now: a writer's first one begins what all other writers have to wait for."""
    if person.role is Role.ADMIN:
        session.info["sees_all"] = True
        return
    given = tuple(sorted(id for id, role in person.dictionaries.items() if role.includes(Role.READ)))
    withheld = _withheld(person)
    rules = _rules(person.role.includes(Role.READ), given, withheld)

    @event.listens_for(session, "do_orm_execute")
    def apply(state: ORMExecuteState) -> None:
        if not state.is_select or state.is_column_load or state.is_relationship_load:
            return
        asked = set(state.all_mappers)
        # A rule costs a tenth of a millisecond a query: those that ask for features or examples of one dictionary, by
        # a key that only its row gives, go without. What a statement asks for within others cannot be seen from here,
        # so one that is of nothing that is known has all rules.
        chosen = [rule for mapper, rule in rules.items() if not asked or mapper in asked]
        if chosen:
            state.statement = state.statement.options(*chosen)


def _withheld(person: Person) -> tuple[str, ...]:
    return tuple(sorted(id for id, role in person.dictionaries.items() if not role.includes(Role.READ)))


def _reads_all_public(person: Person) -> bool:
    return person.role.includes(Role.READ) and not _withheld(person)


def _any_private(session: Session) -> bool:
    return session.connection().exec_driver_sql("SELECT 1 FROM private_dictionaries LIMIT 1").first() is not None


def rows_of_build(session: Session, statement: Any, asked: Mapping[str, Any]) -> Result[*tuple[Any, ...]]:
    """Plain rows of what hangs on one dictionary, which the session was asked for before: it is seen, or not found.

    Past the session's rules, which have nothing to add to that, and past its objects: in half the time.
    """
    return session.connection().execute(statement, asked)


def rows_of_any(session: Session, statement: Any, asked: Mapping[str, Any]) -> Result[*tuple[Any, ...]]:
    """Plain rows of what a person may see or not: by the session's rules, as fast where it has none."""
    if session.info.get("sees_all", False):
        return rows_of_build(session, statement, asked)
    return session.execute(statement, asked)


def list_private(session: Session) -> set[str]:
    return set(session.scalars(select(PrivateDictionaryRow.id)))


def set_private(session: Session, id: str, private: bool) -> None:
    """From the next request on only those see it who were given a role over it, and admins; or everybody again."""
    row = session.get(PrivateDictionaryRow, id)
    if private and row is None:
        session.add(PrivateDictionaryRow(id=id))
    elif not private and row is not None:
        session.delete(row)


@lru_cache(maxsize=256)
def _rules(
    reads_public: bool, given: tuple[str, ...], withheld: tuple[str, ...]
) -> Mapping[Mapper[Any], LoaderCriteriaOption]:
    """For each table that names dictionaries by their id: which of its rows are there."""
    named: list[Any] = [mapper.class_ for mapper in Base.registry.mappers if "dictionary_id" in mapper.columns]
    columns: list[tuple[Any, InstrumentedAttribute[str]]] = [
        (DictionaryRow, DictionaryRow.id),
        *((model, model.dictionary_id) for model in named),
    ]
    return {
        model.__mapper__: with_loader_criteria(
            model, _readable(column, reads_public, given, withheld), include_aliases=True
        )
        for model, column in columns
    }


def _readable(
    column: InstrumentedAttribute[str], reads_public: bool, given: tuple[str, ...], withheld: tuple[str, ...]
) -> ColumnElement[bool]:
    if not reads_public:
        return column.in_(given)
    public = column.not_in(select(PrivateDictionaryRow.id)) & column.not_in(withheld)
    return or_(public, column.in_(given))
