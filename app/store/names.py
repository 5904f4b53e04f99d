"""What features are called, kept for live answers until something in the database changes."""

from collections.abc import Iterable, Mapping

from sqlalchemy import bindparam, select

from app.domain import Dictionary
from app.store.database import Database
from app.store.features import feature_names
from app.store.tables import LabelRow
from app.store.unchanged import Unchanged
from app.store.visible import rows_of_build

MOST = 2000  # names of one dictionary that are kept: more take longer to read than those of one answer
_ALL = (
    select(LabelRow.feature, LabelRow.text)
    .where(LabelRow.dictionary_id == bindparam("dictionary_id"), LabelRow.is_name)
    .limit(bindparam("most"))
)
_KEPT = Unchanged[dict[int, str] | None]()  # by dictionary; None: too many


def known_names(
    database: Database, dictionary: Dictionary, indices: Iterable[int], most: int = MOST
) -> Mapping[int, str]:
    """What these features are called, by index, perhaps with others; those without a label are left out.

    For whoever may read the dictionary.
    """

    def read() -> dict[int, str] | None:
        with database.read() as session:
            rows = rows_of_build(session, _ALL, {"dictionary_id": dictionary.id, "most": most + 1}).all()
        return {row[0]: row[1] for row in rows} if len(rows) <= most else None

    names = _KEPT.of(database, dictionary.id, read)
    if names is not None:
        return names
    with database.read() as session:
        return feature_names(session, dictionary, sorted(set(indices)))
