"""Features: a dictionary's list, sorted, filtered and paged, and one feature whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session

from app.domain import Dictionary, Feature, FeatureSummary, Slice
from app.errors import Invalid, NotFound
from app.store.blobs import neighbor_indices, unpack_statistics, unpack_top_tokens
from app.store.cursors import make_cursor, read_cursor
from app.store.tables import FIRES, PROMOTES, FeatureRow, FeatureTokenRow, LabelRow, folded


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


@dataclass(frozen=True)
class FeatureFilter:
    """What a list is narrowed to; None asks nothing."""

    q: str | None = None
    min_density: float | None = None
    max_density: float | None = None
    min_max_activation: float | None = None
    alive: bool | None = None
    labelled: bool | None = None
    token: str | None = None
    promotes: str | None = None


NO_FILTER = FeatureFilter()
_COLUMNS: dict[str, Any] = {
    "index": FeatureRow.index,
    "density": FeatureRow.n_active_tokens,
    "max_activation": FeatureRow.max_activation,
    "mean_activation": FeatureRow.mean_activation,
    "label": LabelRow.text,
    "score": LabelRow.score,
}


def list_features(
    session: Session, dictionary: Dictionary, matching: FeatureFilter, sort: Sort, cursor: str | None, limit: int
) -> Slice[FeatureSummary]:
    """One page. Features without the value that is sorted by (label, score) come last, whichever the direction."""
    if (
        matching.min_density is not None
        and matching.max_density is not None
        and matching.min_density > matching.max_density
    ):
        raise Invalid(
            f"min_density {matching.min_density} is above max_density {matching.max_density}: none can match."
        )
    conditions = _conditions(dictionary, matching)
    name = (dictionary.id, sort, matching)
    query = _from_features(dictionary, select(FeatureRow, LabelRow.text, LabelRow.score), with_names=True).where(
        *conditions
    )
    descending = sort.startswith("-")
    column = _COLUMNS[sort.removeprefix("-")]
    nullable = column in (LabelRow.text, LabelRow.score)
    order = column.desc() if descending else column.asc()
    query = query.order_by(*([column.is_(None)] if nullable else []), order, FeatureRow.index)
    if cursor is not None:
        value, index = read_cursor(name, cursor, (int, float, str, type(None)), int)
        query = query.where(_after(column, nullable, descending, value, index))
    rows = session.execute(query.limit(limit + 1)).all()
    items = [_summary(row, label, dictionary.n_tokens) for row, label, _ in rows[:limit]]
    following = None
    if len(rows) > limit:
        last, label, score = rows[limit - 1]
        place = {"label": label, "score": score}
        key = sort.removeprefix("-")
        value = place[key] if key in place else _value(last, key)
        following = make_cursor(name, (value, last.index))
    if matching == NO_FILTER:
        total = dictionary.n_features
    else:
        with_names = matching.q is not None or matching.labelled is not None
        count = _from_features(dictionary, select(func.count()).select_from(FeatureRow), with_names)
        total = session.scalar(count.where(*conditions)) or 0
    return Slice(items, following, total)


def get_feature(session: Session, dictionary: Dictionary, index: int) -> Feature:
    """Every statistic of one feature. Raises NotFound."""
    # A number outside any integer column never reaches the database.
    row = session.get(FeatureRow, (dictionary.key, index)) if 0 <= index < dictionary.n_features else None
    if row is None:
        raise NotFound(f"{dictionary.id} has features 0 to {dictionary.n_features - 1}, not {index}.")
    names = feature_names(session, dictionary, [index, *neighbor_indices(row.statistics)])
    summary = _summary(row, names.get(index), dictionary.n_tokens)
    return Feature(
        index=index,
        n_active_tokens=row.n_active_tokens,
        n_active_sentences=row.n_active_sentences,
        max_activation=row.max_activation,
        mean_activation=row.mean_activation,
        top_tokens=summary.top_tokens,
        **unpack_statistics(row.statistics, row.max_activation, names),
        label=summary.label,
        density=summary.density,
        n_tokens=dictionary.n_tokens,
    )


def feature_names(session: Session, dictionary: Dictionary, indices: Sequence[int]) -> dict[int, str]:
    """What features are called, by index; those without a label are left out."""
    query = select(LabelRow.feature, LabelRow.text).where(
        LabelRow.dictionary_id == dictionary.id, LabelRow.is_name, LabelRow.feature.in_(indices)
    )
    return dict(session.execute(query).all())


def get_summaries(session: Session, dictionary: Dictionary, indices: Sequence[int]) -> dict[int, FeatureSummary]:
    """What lists show of these features, by index."""
    query = _from_features(dictionary, select(FeatureRow, LabelRow.text), with_names=True)
    rows = session.execute(query.where(FeatureRow.index.in_(indices)))
    return {row.index: _summary(row, label, dictionary.n_tokens) for row, label in rows}


def _from_features(dictionary: Dictionary, query: Any, with_names: bool) -> Any:
    if with_names:
        named = and_(LabelRow.dictionary_id == dictionary.id, LabelRow.feature == FeatureRow.index, LabelRow.is_name)
        query = query.outerjoin(LabelRow, named)
    return query.where(FeatureRow.dictionary == dictionary.key)


def _conditions(dictionary: Dictionary, matching: FeatureFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    tokens = FeatureRow.n_active_tokens
    if matching.min_density is not None:
        found.append(tokens >= matching.min_density * dictionary.n_tokens)
    if matching.max_density is not None:
        found.append(tokens <= matching.max_density * dictionary.n_tokens)
    if matching.min_max_activation is not None:
        found.append(FeatureRow.max_activation >= matching.min_max_activation)
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


def _after(column: Any, nullable: bool, descending: bool, value: Any, index: Any) -> ColumnElement[bool]:
    """Rows behind (value, index) in the list's order."""
    if value is None:
        return and_(column.is_(None), FeatureRow.index > index)
    beyond = column < value if descending else column > value
    equal = and_(column == value, FeatureRow.index > index)
    return or_(beyond, equal, column.is_(None)) if nullable else or_(beyond, equal)


def _value(row: FeatureRow, key: str) -> float:
    values = {
        "index": row.index,
        "density": row.n_active_tokens,
        "max_activation": row.max_activation,
        "mean_activation": row.mean_activation,
    }
    return values[key]


def _summary(row: FeatureRow, label: str | None, n_tokens: int) -> FeatureSummary:
    return FeatureSummary(
        index=row.index,
        label=label,
        density=row.n_active_tokens / n_tokens,
        n_active_tokens=row.n_active_tokens,
        n_active_sentences=row.n_active_sentences,
        max_activation=row.max_activation,
        mean_activation=row.mean_activation,
        top_tokens=unpack_top_tokens(row.top_tokens, row.n_active_tokens),
    )
