"""Dictionaries: the published builds."""

from datetime import datetime
from weakref import WeakKeyDictionary

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from app.domain import Dictionary, Histogram, Quality
from app.errors import NotFound
from app.store.database import Database
from app.store.tables import DictionaryRow
from app.store.unchanged import Unchanged
from app.store.visible import rows_of_any

NAMED = 10  # dictionaries that an error lists
_KEY = select(DictionaryRow.key, DictionaryRow.created_at).where(
    DictionaryRow.published, DictionaryRow.id == bindparam("id")
)
# What was read of each database: a build never changes, and another one has another key and another time.
_READ: "WeakKeyDictionary[object, dict[tuple[int, datetime], Dictionary]]" = WeakKeyDictionary()
_KNOWN = Unchanged[Dictionary]()
_ALL = select(DictionaryRow).where(DictionaryRow.published).order_by(DictionaryRow.id)


def list_dictionaries(session: Session) -> list[Dictionary]:
    """Every published dictionary, by id."""
    return [to_dictionary(row) for row in session.scalars(_ALL)]


def get_dictionary(session: Session, id: str) -> Dictionary:
    """Raises NotFound, naming the dictionaries that there are."""
    found = rows_of_any(session, _KEY, {"id": id}).first()
    if found is None:
        ids = select(DictionaryRow.id).where(DictionaryRow.published).order_by(DictionaryRow.id)
        known = list(session.scalars(ids.limit(NAMED + 1)))
        listed = ", ".join(known[:NAMED]) + (" and more" if len(known) > NAMED else "")
        raise NotFound(
            f"There is no dictionary {id!r}; " + (f"there are {listed}." if known else "none is indexed yet.")
        )
    read, build = _READ.setdefault(session.get_bind(), {}), (found[0], found[1])
    if build not in read:
        read[build] = to_dictionary(session.get_one(DictionaryRow, found[0]))
    return read[build]


def known_dictionary(database: Database, session: Session, id: str) -> Dictionary:
    """The same without a query (of SQLite) where nothing was committed meanwhile, for a session that sees everything.

    One that has asked for something before sees a state that may be older than what is known, and asks for itself.
    """

    def read() -> Dictionary:
        with database.read() as newer:
            return get_dictionary(newer, id)

    if session.in_transaction() or not session.info.get("sees_all", False):
        return get_dictionary(session, id)
    return _KNOWN.of(database, id, read)


def to_dictionary(row: DictionaryRow) -> Dictionary:
    return Dictionary(
        id=row.id,
        title=row.title,
        model=row.model,
        model_source=row.model_source,
        sae=row.sae,
        sae_source=row.sae_source,
        hook_point=row.hook_point,
        architecture=row.architecture,
        d_in=row.d_in,
        n_features=row.n_features,
        n_sentences=row.n_sentences,
        n_duplicates=row.n_duplicates,
        n_tokens=row.n_tokens,
        n_masked_tokens=row.n_masked_tokens,
        corpus=row.corpus,
        parameters=row.parameters,
        quality=Quality(**row.quality),
        density_histogram=Histogram(**row.density_histogram),
        key=row.key,
        created_at=row.created_at,
    )
