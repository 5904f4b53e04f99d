"""Pages of plain lists: in the order of one column whose values are all different."""

from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.domain import Slice
from app.store.cursors import make_cursor, read_cursor


def read_page(
    session: Session,
    query: Select[Any],
    by: InstrumentedAttribute[Any],
    kind: type,
    cursor: str | None,
    limit: int,
    is_descending: bool = False,
) -> Slice[Any]:
    """Rows of the query, which selects one table's objects. kind: of the column that they go by.

    Raises Invalid for a cursor that was not made for such a list.
    """
    name = (str(by), is_descending)
    ordered = query.order_by(by.desc() if is_descending else by).limit(limit + 1)
    if cursor is not None:
        (place,) = read_cursor(name, cursor, kind)
        ordered = ordered.where(by < place if is_descending else by > place)
    rows = session.scalars(ordered).all()
    total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
    following = make_cursor(name, (getattr(rows[limit - 1], by.key),)) if len(rows) > limit else None
    return Slice(rows[:limit], following, total)
