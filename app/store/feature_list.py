"""A dictionary's list of features: sorted, filtered, paged, with the neighbours of one in it and a draw from it.

Pages go on from a place in the order (a sort value and an index), never from a count of rows: labels may change
between two pages, and every feature that keeps its place is still listed once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session

from app.domain import Dictionary, FeatureSummary, Slice
from app.errors import Invalid, NotFound
from app.store.cursors import make_cursor, read_cursor
from app.store.features import SUMMARY, to_summary
from app.store.tables import FIRES, PROMOTES, FeatureRow, FeatureTokenRow, LabelRow, folded

Value = int | float | str | None


class Sort(StrEnum):
    INDEX = "index"
    INDEX_DESCENDING = "-index"
    DENSITY = "density"
    DENSITY_DESCENDING = "-density"
    MAX = "max_activation"
    MAX_DESCENDING = "-max_activation"
    MEAN = "mean_activation"
    MEAN_DESCENDING = "-mean_activation"
    LABEL = "label"
    LABEL_DESCENDING = "-label"
    SCORE = "score"
    SCORE_DESCENDING = "-score"


def _check_range(name: str, low: float | None, high: float | None) -> None:
    if low is not None and high is not None and low > high:
        raise Invalid(f"The lowest {name} asked for, {low:g}, is above the highest, {high:g}: no feature lies between.")


@dataclass(frozen=True)
class FeatureFilter:
    """What a list is narrowed to; None asks nothing. Ranges include their ends. Raises Invalid for one upside down."""

    q: str | None = None
    min_density: float | None = None
    max_density: float | None = None
    min_max_activation: float | None = None
    max_max_activation: float | None = None
    alive: bool | None = None
    labelled: bool | None = None
    token: str | None = None
    promotes: str | None = None

    def __post_init__(self) -> None:
        _check_range("density", self.min_density, self.max_density)
        _check_range("largest activation", self.min_max_activation, self.max_max_activation)


NO_FILTER = FeatureFilter()


def list_features(
    session: Session, dictionary: Dictionary, matching: FeatureFilter, sort: Sort, cursor: str | None, limit: int
) -> Slice[FeatureSummary]:
    """One page. Features without the value that is sorted by (label, score) come last, whichever the direction."""
    order = _Order.of(sort)
    name = (dictionary.id, sort, matching)
    place = None
    if cursor is not None:
        value, index = read_cursor(name, cursor, order.kinds, int)
        place = _Place(value, cast(int, index))
    query = _matching(dictionary, matching, select(*SUMMARY, LabelRow.text, order.column), with_names=True)
    rows = _rows(session, query, order, place, limit + 1)
    items = [to_summary(row, label, dictionary.n_tokens) for *row, label, _ in rows[:limit]]
    following = make_cursor(name, (rows[limit - 1][-1], items[-1].index)) if len(rows) > limit else None
    return Slice(items, following, count_features(session, dictionary, matching))


def count_features(session: Session, dictionary: Dictionary, matching: FeatureFilter) -> int:
    if matching == NO_FILTER:
        return dictionary.n_features
    query = select(func.count()).select_from(FeatureRow)
    return session.scalar(_matching(dictionary, matching, query, _asks_names(matching))) or 0


def list_neighbors(
    session: Session, dictionary: Dictionary, matching: FeatureFilter, sort: Sort, index: int
) -> tuple[int | None, int | None]:
    """The features before and after this one in a list (whether or not it is in the list itself). Raises NotFound."""
    order = _Order.of(sort)
    own = _named(dictionary, select(order.column).select_from(FeatureRow))
    found = session.execute(own.where(FeatureRow.index == index)).first()
    if found is None:
        raise NotFound(f"{dictionary.id} has features 0 to {dictionary.n_features - 1}, not {index}.")
    place = _Place(found[0], index)
    with_names = order.nullable or _asks_names(matching)
    query = _matching(dictionary, matching, select(FeatureRow.index), with_names)
    before = _rows(session, query, order.turned(), place, 1)
    after = _rows(session, query, order, place, 1)
    return (before[0][0] if before else None), (after[0][0] if after else None)


def draw_feature(
    session: Session, dictionary: Dictionary, matching: FeatureFilter, pick: Callable[[int], int]
) -> int | None:
    """One of the features that match, None where none does. pick: a number below the one that it is given."""
    n = count_features(session, dictionary, matching)
    if n == 0:
        return None
    # Any fixed order serves a draw, so none is asked for: the database takes its cheapest.
    query = _matching(dictionary, matching, select(FeatureRow.index), _asks_names(matching))
    found: int | None = session.scalar(query.offset(pick(n)).limit(1))
    return found


@dataclass(frozen=True)
class _Place:
    """Where a page ends: the last row's value, None where it has none, and its index."""

    value: Value
    index: int


@dataclass(frozen=True)
class _Order:
    """By a column, then by index; rows without a value last. Turned: the same order read from its end."""

    column: Any
    kinds: tuple[type, ...]
    descending: bool
    backwards: bool = False

    @property
    def nullable(self) -> bool:
        return type(None) in self.kinds

    @classmethod
    def of(cls, sort: Sort) -> "_Order":
        return cls(*_COLUMNS[sort.removeprefix("-")], descending=sort.startswith("-"))

    def turned(self) -> "_Order":
        return _Order(self.column, self.kinds, not self.descending, not self.backwards)

    def parts(self, place: _Place | None) -> list["_Part"]:
        """The rows behind the place, as stretches that follow one another, each answered by an index."""
        by_index = FeatureRow.index.desc() if self.backwards else FeatureRow.index.asc()
        by_value = self.column.desc() if self.descending else self.column.asc()
        valued = _Part(self._valued(place), (by_value,) if self.column is FeatureRow.index else (by_value, by_index))
        if not self.nullable:
            return [valued]
        empty = [self.column.is_(None)]
        if place is not None and place.value is None:
            empty.append(self._index_beyond(place))
        parts = [valued, _Part(empty, (by_index,))]
        if self.backwards:
            parts.reverse()
        passed = place is not None and (place.value is None) != self.backwards
        return parts[1:] if passed else parts

    def _valued(self, place: _Place | None) -> list[ColumnElement[bool]]:
        if place is None or place.value is None:
            return [self.column.is_not(None)] if self.nullable else []
        if self.column is FeatureRow.index:
            return [FeatureRow.index < place.value if self.descending else FeatureRow.index > place.value]
        # The first condition is implied by the second; it is what lets the database start inside its index.
        if self.descending:
            return [self.column <= place.value, or_(self.column < place.value, self._index_beyond(place))]
        return [self.column >= place.value, or_(self.column > place.value, self._index_beyond(place))]

    def _index_beyond(self, place: _Place) -> ColumnElement[bool]:
        return FeatureRow.index < place.index if self.backwards else FeatureRow.index > place.index


@dataclass(frozen=True)
class _Part:
    conditions: Sequence[ColumnElement[bool]]
    terms: Sequence[Any]


# What is sorted by, and the types of its values.
_COLUMNS: dict[str, tuple[Any, tuple[type, ...]]] = {
    "index": (FeatureRow.index, (int,)),
    "density": (FeatureRow.n_active_tokens, (int,)),
    "max_activation": (FeatureRow.max_activation, (int, float)),
    "mean_activation": (FeatureRow.mean_activation, (int, float)),
    "label": (func.lower(LabelRow.text), (str, type(None))),
    "score": (LabelRow.score, (int, float, type(None))),
}


def _rows(session: Session, query: Select[Any], order: _Order, place: _Place | None, limit: int) -> list[Any]:
    rows: list[Any] = []
    for part in order.parts(place):
        if len(rows) < limit:
            asked = query.where(*part.conditions).order_by(*part.terms).limit(limit - len(rows))
            rows += session.execute(asked).all()
    return rows


def _named(dictionary: Dictionary, query: Select[Any]) -> Select[Any]:
    named = and_(LabelRow.dictionary_id == dictionary.id, LabelRow.feature == FeatureRow.index, LabelRow.is_name)
    return query.outerjoin(LabelRow, named).where(FeatureRow.dictionary == dictionary.key)


def _asks_names(matching: FeatureFilter) -> bool:
    return matching.q is not None or matching.labelled is not None


def _matching(dictionary: Dictionary, matching: FeatureFilter, query: Select[Any], with_names: bool) -> Select[Any]:
    """The query over the features that match. with_names: joined with what each is called."""
    query = _named(dictionary, query) if with_names else query.where(FeatureRow.dictionary == dictionary.key)
    return query.where(*_conditions(dictionary, matching))


def _conditions(dictionary: Dictionary, matching: FeatureFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    tokens = FeatureRow.n_active_tokens
    if matching.min_density is not None:
        found.append(tokens >= matching.min_density * dictionary.n_tokens)
    if matching.max_density is not None:
        found.append(tokens <= matching.max_density * dictionary.n_tokens)
    if matching.min_max_activation is not None:
        found.append(FeatureRow.max_activation >= matching.min_max_activation)
    if matching.max_max_activation is not None:
        found.append(FeatureRow.max_activation <= matching.max_max_activation)
    if matching.alive is not None:
        found.append(tokens > 0 if matching.alive else tokens == 0)
    if matching.labelled is not None:
        found.append(LabelRow.id.is_not(None) if matching.labelled else LabelRow.id.is_(None))
    if matching.token is not None:
        exact = FeatureTokenRow.token == folded(matching.token)
        found.append(FeatureRow.index.in_(_with_token(dictionary, FIRES, exact)))
    if matching.promotes is not None:
        exact = FeatureTokenRow.token == folded(matching.promotes)
        found.append(FeatureRow.index.in_(_with_token(dictionary, PROMOTES, exact)))
    if matching.q is not None:
        held = FeatureTokenRow.token.contains(folded(matching.q), autoescape=True)
        any_of = [
            func.lower(LabelRow.text).contains(matching.q.lower(), autoescape=True),
            FeatureRow.index.in_(_with_token(dictionary, FIRES, held)),
        ]
        if matching.q.strip().isdecimal() and len(matching.q.strip()) <= 9:
            any_of.append(FeatureRow.index == int(matching.q))
        found.append(or_(*any_of))
    return found


def _with_token(dictionary: Dictionary, kind: int, condition: ColumnElement[bool]) -> Select[int]:
    return select(FeatureTokenRow.feature).where(
        FeatureTokenRow.dictionary == dictionary.key, FeatureTokenRow.kind == kind, condition
    )
