"""The orders of a dictionary's list of features: by a column of features, their names or topics, walked or sorted.

Pages go on from a place in the order (a sort value and an index), never from a count of rows: labels may change
between two pages, and every feature that keeps its place is still listed once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, String, func, or_

from app.store.tables import Base, FeatureRow, FeatureTopicRow, LabelRow

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
    TOPIC = "topic"
    TOPIC_DESCENDING = "-topic"
    LABEL = "label"
    LABEL_DESCENDING = "-label"
    SCORE = "score"
    SCORE_DESCENDING = "-score"


@dataclass(frozen=True)
class Place:
    """Where a page ends: the last row's value, None where it has none, and its index."""

    value: Value
    index: int


@dataclass(frozen=True)
class Order:
    """By a column of a table, then by index; rows without a value last. Turned: the same order read from its end.

    is_small: few features match, so they are found first and then sorted; else the order is walked, and what does not
    match is left out. The database cannot know which is cheaper; a sum (see loosely) keeps it from the other way.
    """

    table: type[Base]
    value: Any
    kinds: tuple[type, ...]
    is_small: bool
    descending: bool
    backwards: bool = False

    @property
    def nullable(self) -> bool:
        return type(None) in self.kinds

    @property
    def column(self) -> Any:
        """The value as it is sorted by."""
        return loosely(self.value) if self.is_small else self.value

    def narrowed(self, column: Any) -> Any:
        """A feature's column as a filter looks at it: no index over it may take the place of the walk."""
        return column if self.is_small or column is self.value else loosely(column)

    @classmethod
    def of(cls, sort: Sort, is_small: bool = False) -> "Order":
        table, value, kinds = COLUMNS[sort.removeprefix("-")]
        return cls(table, value, kinds, is_small, descending=sort.startswith("-"))

    def turned(self) -> "Order":
        return replace(self, descending=not self.descending, backwards=not self.backwards)

    def parts(self, place: Place | None) -> list["Part"]:
        """The rows behind the place, as stretches that follow one another, each answered by an index."""
        by_value = self.column.desc() if self.descending else self.column.asc()
        if self.value is FeatureRow.index:
            return [Part(FeatureRow, self._valued(place), (by_value,))]
        valued = Part(self.table, self._valued(place), (by_value, self._by_index))
        if not self.nullable:
            return [valued]
        empty = [self.value.is_(None)]
        if place is not None and place.value is None:
            empty.append(FeatureRow.index < place.index if self.backwards else FeatureRow.index > place.index)
        by_index = loosely(FeatureRow.index) if self.is_small else FeatureRow.index
        parts = [valued, Part(FeatureRow, empty, (by_index.desc() if self.backwards else by_index.asc(),))]
        if self.backwards:
            parts.reverse()
        passed = place is not None and (place.value is None) != self.backwards
        return parts[1:] if passed else parts

    def _valued(self, place: Place | None) -> list[ColumnElement[bool]]:
        if place is None or place.value is None:
            return [self.value.is_not(None)] if self.nullable else []
        if self.value is FeatureRow.index:
            return [FeatureRow.index < place.value if self.descending else FeatureRow.index > place.value]
        # The first condition is implied by the second; it is what lets the database start inside its index.
        if self.descending:
            return [self.column <= place.value, or_(self.column < place.value, self._index_beyond(place))]
        return [self.column >= place.value, or_(self.column > place.value, self._index_beyond(place))]

    def _index_beyond(self, place: Place) -> Any:
        return self._index < place.index if self.backwards else self._index > place.index

    @property
    def _by_index(self) -> Any:
        return self._index.desc() if self.backwards else self._index.asc()

    @property
    def _index(self) -> Any:
        """A feature's index, from the table that the order is walked in."""
        return {LabelRow: LabelRow.feature, FeatureTopicRow: FeatureTopicRow.feature}.get(self.table, FeatureRow.index)


@dataclass(frozen=True)
class Part:
    """table: in which its features are found; of names and topics only those that have one."""

    table: type[Base]
    conditions: Sequence[ColumnElement[bool]]
    terms: Sequence[Any]


# What is sorted by, where it stands, and the types of its values.
COLUMNS: dict[str, tuple[type[Base], Any, tuple[type, ...]]] = {
    "index": (FeatureRow, FeatureRow.index, (int,)),
    "density": (FeatureRow, FeatureRow.n_active_tokens, (int,)),
    "max_activation": (FeatureRow, FeatureRow.max_activation, (int, float)),
    "mean_activation": (FeatureRow, FeatureRow.mean_activation, (int, float)),
    "topic": (FeatureTopicRow, FeatureTopicRow.n, (int, type(None))),
    "label": (LabelRow, func.lower(LabelRow.text, type_=String()), (str, type(None))),
    "score": (LabelRow, LabelRow.score, (int, float, type(None))),
}
ANY_ORDER = Order.of(Sort.INDEX, is_small=True)


def loosely(column: Any) -> Any:
    """The same values, but served by no index."""
    return column + "" if isinstance(column.type, String) else column + 0
