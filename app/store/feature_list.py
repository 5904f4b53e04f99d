"""A dictionary's list of features: sorted, filtered, paged, with the neighbours of one in it and a draw from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from math import ceil, floor
from typing import Any, cast

from sqlalchemy import ColumnElement, CompoundSelect, Select, and_, func, literal, select, union
from sqlalchemy.orm import Session, aliased

from app.domain import Dictionary, ListedFeature, Slice, Topic
from app.errors import Invalid, NotFound
from app.store.cursors import make_cursor, read_cursor
from app.store.feature_order import ANY_ORDER, Order, Place, Sort, loosely
from app.store.features import SUMMARY, summary_values
from app.store.tables import (
    FIRES,
    PROMOTES,
    Base,
    FeatureRow,
    FeatureTokenRow,
    FeatureTopicRow,
    LabelRow,
    TopicRow,
    folded,
)
from app.store.topics import features_about

# Features that are sooner sorted than looked for along an order: of 131,072, a page of 50 walks as many to find these.
FEW = 2500
_NAMED = 500  # features that stand one by one in a statement
_LAST_CHARACTER = "\U0010ffff"
_DIGITS = 9  # of an index
_LISTED = (*SUMMARY, LabelRow.text, TopicRow.field, TopicRow.value, FeatureTopicRow.n, FeatureTopicRow.of)


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
    about: str | None = None

    @property
    def names_tokens(self) -> bool:
        """Whether the features that match are listed by token or topic, so that they can be had without the others."""
        return any(asked is not None for asked in (self.q, self.token, self.promotes, self.about))

    def __post_init__(self) -> None:
        _check_range("density", self.min_density, self.max_density)
        _check_range("largest activation", self.min_max_activation, self.max_max_activation)


NO_FILTER = FeatureFilter()


@dataclass(frozen=True)
class _LookedUp(FeatureFilter):
    """A filter whose q was looked up once, for the count and the rows: its features are some of these."""

    indices: tuple[int, ...] = ()

    @property
    def names_tokens(self) -> bool:
        return True


def _looked_up(session: Session, dictionary: Dictionary, matching: FeatureFilter) -> FeatureFilter:
    """Where q finds more than may stand in a statement, the filter as it is."""
    if matching.q is None:
        return matching
    found = session.scalars(select(_found_by(dictionary, matching.q.strip()).subquery()).limit(_NAMED + 1)).all()
    if len(found) > _NAMED:
        return matching
    given = {field.name: getattr(matching, field.name) for field in fields(FeatureFilter)}
    return _LookedUp(**given | {"q": None}, indices=tuple(sorted(found)))


def list_features(
    session: Session,
    dictionary: Dictionary,
    matching: FeatureFilter,
    sort: Sort,
    cursor: str | None,
    limit: int,
    few: int = FEW,
) -> Slice[ListedFeature]:
    """One page. Features without the value that is sorted by (topic, label, score) come last, whichever the direction.

    few: up to how many features are found and sorted; the answer is the same for any.
    """
    name = (dictionary.id, sort, matching)
    matching = _looked_up(session, dictionary, matching)
    total = count_features(session, dictionary, matching)
    order = Order.of(sort, is_small=total <= few)
    place = None
    if cursor is not None:
        value, index = read_cursor(name, cursor, order.kinds, int)
        place = Place(value, cast(int, index))
    rows = _rows(session, dictionary, matching, (*_LISTED, order.value), order, place, limit + 1)
    items = [_to_listed(row, dictionary.n_tokens) for *row, _ in rows[:limit]]
    following = make_cursor(name, (rows[limit - 1][-1], items[-1].index)) if len(rows) > limit else None
    return Slice(items, following, total)


def _to_listed(row: Sequence[Any], n_tokens: int) -> ListedFeature:
    """row: the values of _LISTED."""
    *columns, label, field, value, n, of = row
    topic = None if field is None else Topic(field, value, n, of)
    return ListedFeature(**summary_values(columns, label, n_tokens), topic=topic)


def count_features(session: Session, dictionary: Dictionary, matching: FeatureFilter) -> int:
    if matching == NO_FILTER:
        return dictionary.n_features
    if matching == FeatureFilter(labelled=False):
        return dictionary.n_features - count_features(session, dictionary, FeatureFilter(labelled=True))
    columns, sets = _of_columns(dictionary, matching, ANY_ORDER), _of_sets(dictionary, matching)
    if isinstance(matching, _LookedUp) and matching == _LookedUp(indices=matching.indices):
        return len(matching.indices)
    if not columns and len(sets) == 1:  # counted where they are listed, without a look at the features themselves
        query = select(func.count()).select_from(sets[0].subquery())
    else:
        query = select(func.count()).select_from(FeatureRow).where(*_conditions(dictionary, matching, ANY_ORDER))
    return session.scalar(query) or 0


def list_neighbors(
    session: Session, dictionary: Dictionary, matching: FeatureFilter, sort: Sort, index: int
) -> tuple[int | None, int | None]:
    """The features before and after this one in a list (whether or not it is in the list itself). Raises NotFound."""
    matching = _looked_up(session, dictionary, matching)
    is_small = matching.names_tokens and count_features(session, dictionary, matching) <= FEW
    order = Order.of(sort, is_small)
    own = _joined(select(order.value), dictionary, FeatureRow, FeatureRow.index)
    own = own.where(FeatureRow.dictionary == dictionary.key, FeatureRow.index == index)
    found = session.execute(own).first()
    if found is None:
        raise NotFound(f"{dictionary.id} has features 0 to {dictionary.n_features - 1}, not {index}.")
    place = Place(found[0], index)
    before = _rows(session, dictionary, matching, (FeatureRow.index,), order.turned(), place, 1)
    after = _rows(session, dictionary, matching, (FeatureRow.index,), order, place, 1)
    return (before[0][0] if before else None), (after[0][0] if after else None)


def draw_feature(
    session: Session, dictionary: Dictionary, matching: FeatureFilter, pick: Callable[[int], int]
) -> int | None:
    """One of the features that match, None where none does. pick: a number below the one that it is given."""
    matching = _looked_up(session, dictionary, matching)
    n = count_features(session, dictionary, matching)
    if n == 0:
        return None
    # Any fixed order serves a draw, so none is asked for: the database takes its cheapest.
    query = select(FeatureRow.index).where(*_conditions(dictionary, matching, ANY_ORDER))
    found: int | None = session.scalar(query.offset(pick(n)).limit(1))
    return found


def _rows(
    session: Session,
    dictionary: Dictionary,
    matching: FeatureFilter,
    columns: Sequence[Any],
    order: Order,
    place: Place | None,
    limit: int,
) -> list[Any]:
    """Up to `limit` features that match, behind the place in this order."""
    rows: list[Any] = []
    for part in order.parts(place):
        if len(rows) == limit:
            break
        query = select(*columns).where(*part.conditions)
        if part.table is LabelRow:
            if matching.labelled is False:
                continue
            query = _joined(query, dictionary, LabelRow, LabelRow.feature)
            query = query.where(LabelRow.dictionary_id == dictionary.id, LabelRow.is_name)
            # All have a name, and the other sets are looked at before the features.
            narrowed = replace(matching, labelled=None)
            query = query.where(*_conditions(dictionary, narrowed, order, LabelRow.feature))
        elif part.table is FeatureTopicRow:
            query = _joined(query, dictionary, FeatureTopicRow, FeatureTopicRow.feature)
            query = query.where(FeatureTopicRow.dictionary == dictionary.key)
            query = query.where(*_conditions(dictionary, matching, order, FeatureTopicRow.feature))
        elif order.table is LabelRow and order.value is not LabelRow.score and matching.labelled:
            continue  # all have the name that is sorted by
        else:
            query = _joined(query, dictionary, FeatureRow, FeatureRow.index)
            query = query.where(*_conditions(dictionary, matching, order))
        rows += session.execute(query.order_by(*part.terms).limit(limit - len(rows))).all()
    return rows


def _joined(query: Select[Any], dictionary: Dictionary, table: type[Base], index: Any) -> Select[Any]:
    """The features of a table (index: its column of them), each with the label that it is called by and its topic."""
    query = query.select_from(table)
    if table is not FeatureRow:
        query = query.join(FeatureRow, and_(FeatureRow.dictionary == dictionary.key, FeatureRow.index == index))
    if table is not LabelRow:
        of_feature = LabelRow.feature == FeatureRow.index
        query = query.outerjoin(LabelRow, and_(LabelRow.dictionary_id == dictionary.id, of_feature, LabelRow.is_name))
    if table is not FeatureTopicRow:
        own = and_(FeatureTopicRow.dictionary == dictionary.key, FeatureTopicRow.feature == FeatureRow.index)
        query = query.outerjoin(FeatureTopicRow, own)
    named = and_(TopicRow.dictionary == dictionary.key, TopicRow.number == FeatureTopicRow.topic)
    return query.outerjoin(TopicRow, named)


def _conditions(
    dictionary: Dictionary, matching: FeatureFilter, order: Order, index: Any = FeatureRow.index
) -> list[ColumnElement[bool]]:
    """index: the feature's, from the table that is read first."""
    found = [FeatureRow.dictionary == dictionary.key, *_of_columns(dictionary, matching, order)]
    for place, some in enumerate(_of_sets(dictionary, matching)):
        # Sets are read from the smallest on; the names, which may be many, come last.
        found.append((index if order.is_small and place == 0 else loosely(index)).in_(some))
    if matching.labelled is False:
        found.append(FeatureRow.index.not_in(_names(dictionary)))
    return found


def _of_columns(dictionary: Dictionary, matching: FeatureFilter, order: Order) -> list[ColumnElement[bool]]:
    """What is asked of a feature's own columns."""
    found: list[ColumnElement[bool]] = []
    tokens, top = order.narrowed(FeatureRow.n_active_tokens), order.narrowed(FeatureRow.max_activation)
    # Whole numbers, as the column has: PostgreSQL compares others by going through all of its index.
    if matching.min_density is not None:
        found.append(tokens >= ceil(matching.min_density * dictionary.n_tokens))
    if matching.max_density is not None:
        found.append(tokens <= floor(matching.max_density * dictionary.n_tokens))
    if matching.min_max_activation is not None:
        found.append(top >= matching.min_max_activation)
    if matching.max_max_activation is not None:
        found.append(top <= matching.max_max_activation)
    if matching.alive is not None:
        found.append(tokens > 0 if matching.alive else tokens == 0)
    return found


def _of_sets(dictionary: Dictionary, matching: FeatureFilter) -> list[Any]:
    """The features listed elsewhere, by name or by token, of which a feature has to be one."""
    found: list[Any] = []
    if matching.token is not None:
        found.append(_with_token(dictionary, FIRES, FeatureTokenRow.token == folded(matching.token)))
    if matching.promotes is not None:
        found.append(_with_token(dictionary, PROMOTES, FeatureTokenRow.token == folded(matching.promotes)))
    if matching.about is not None:
        found.append(features_about(dictionary, matching.about))
    if matching.q is not None:
        found.append(_found_by(dictionary, matching.q.strip()))
    if isinstance(matching, _LookedUp):
        found.append(matching.indices)
    if matching.labelled:
        found.append(_names(dictionary))
    return found


def _found_by(dictionary: Dictionary, q: str) -> CompoundSelect[Any]:
    """Features whose name holds the words, that fire on a token that begins with them, or whose index they are."""
    begins = folded(q)
    is_begun = and_(FeatureTokenRow.token >= begins, FeatureTokenRow.token < begins + _LAST_CHARACTER)
    parts = [
        _names(dictionary, lambda text: func.lower(text).contains(q.lower(), autoescape=True)),
        _with_token(dictionary, FIRES, is_begun),
    ]
    if q.isdecimal() and len(q) <= _DIGITS:
        parts.append(select(literal(int(q))).where(literal(int(q) < dictionary.n_features)))
    return union(*parts)


def _names(dictionary: Dictionary, holds: Callable[[Any], Any] | None = None) -> Select[Any]:
    """The features that have a name (that holds something)."""
    name = aliased(LabelRow)
    query = select(name.feature).where(
        name.dictionary_id == dictionary.id, name.is_name, name.feature < dictionary.n_features
    )
    return query if holds is None else query.where(holds(name.text))


def _with_token(dictionary: Dictionary, kind: int, condition: ColumnElement[bool]) -> Select[int]:
    return select(FeatureTokenRow.feature).where(
        FeatureTokenRow.dictionary == dictionary.key, FeatureTokenRow.kind == kind, condition
    )
