"""Examples: a feature's chosen sentences, group by group, with its activation at every token.

The statements are built once, with named parameters: building one anew for each page takes longer than running it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, func, literal, select
from sqlalchemy.orm import Session

from app.domain import Dictionary, Example, Group, Peak, Slice
from app.store.blobs import unpack_ends, unpack_firings
from app.store.cursors import make_cursor, read_cursor
from app.store.tables import ExampleRow, SentenceRow

GROUPS = tuple(Group)  # ExampleRow.group counts into this


def list_examples(
    session: Session,
    dictionary: Dictionary,
    index: int,
    group: Group,
    cursor: str | None,
    limit: int,
    counts: Mapping[Group, int] | None = None,
) -> Slice[Example]:
    """One group of a feature's examples, strongest (or first drawn) first. counts: see count_examples, where known."""
    name = (dictionary.id, index, group)
    (rank,) = read_cursor(name, cursor, int) if cursor is not None else (-1,)
    total = (counts or count_examples(session, dictionary, index))[group]
    asked = {"dictionary": dictionary.key, "feature": index, "group": GROUPS.index(group), "rank": rank}
    rows = session.execute(_OF_GROUP, asked | {"limit": limit + 1}).all()
    following = make_cursor(name, (rows[limit - 1].rank,)) if len(rows) > limit else None
    return Slice([_to_example(row) for row in rows[:limit]], following, total)


def count_examples(session: Session, dictionary: Dictionary, index: int) -> dict[Group, int]:
    """How many examples each group of a feature has."""
    counts = dict.fromkeys(GROUPS, 0)
    for group, n in session.execute(_COUNTS, {"dictionary": dictionary.key, "feature": index}):
        counts[GROUPS[group]] = n
    return counts


def best_examples(session: Session, dictionary: Dictionary, indices: Sequence[int]) -> dict[int, Example]:
    """The strongest example of each feature, by index; a feature that never fired has none."""
    rows = session.execute(_BEST, {"dictionary": dictionary.key, "features": indices})
    return {row[0]: _to_example(row) for row in rows.all()}


def examples_of_sentence(
    session: Session, dictionary: Dictionary, number: int, limit: int
) -> Slice[tuple[int, Example]]:
    """The features that count a sentence among their strongest examples, the largest peak first, with the example.

    Past `limit` only counted: `next` is always None.
    """
    rows = session.execute(_OF_SENTENCE, {"dictionary": dictionary.key, "sentence": number}).all()
    strongest = sorted(rows, key=lambda row: (-max(unpack_firings(row.firings)[1], default=0.0), row.feature))
    return Slice([(row.feature, _to_example(row)) for row in strongest[:limit]], None, len(rows))


def find_example(session: Session, dictionary: Dictionary, index: int, number: int) -> Example | None:
    """A sentence as one of a feature's examples, in whichever group; None where it is none of them."""
    row = session.execute(_ONE, {"dictionary": dictionary.key, "feature": index, "sentence": number}).first()
    return _to_example(row) if row else None


def is_top() -> ColumnElement[bool]:
    """Written into the statement, since an index over top examples alone serves no parameter."""
    return ExampleRow.group == literal(GROUPS.index(Group.TOP), literal_execute=True)


def _shown(*conditions: ColumnElement[bool]) -> Select[Any]:
    """A dictionary's examples with their sentences. Plain columns: a page reads dozens of rows."""
    of_example = and_(SentenceRow.dictionary == ExampleRow.dictionary, SentenceRow.number == ExampleRow.sentence)
    example = (ExampleRow.feature, ExampleRow.group, ExampleRow.rank, ExampleRow.peak, ExampleRow.firings)
    sentence = (SentenceRow.number, SentenceRow.text, SentenceRow.boundaries, SentenceRow.details, SentenceRow.offset)
    query = select(*example, *sentence).join(SentenceRow, of_example)
    return query.where(ExampleRow.dictionary == bindparam("dictionary"), *conditions)


_feature, _sentence = ExampleRow.feature == bindparam("feature"), ExampleRow.sentence == bindparam("sentence")
_OF_GROUP = (
    _shown(_feature, ExampleRow.group == bindparam("group"), ExampleRow.rank > bindparam("rank"))
    .order_by(ExampleRow.rank)
    .limit(bindparam("limit"))
)
_COUNTS = (
    select(ExampleRow.group, func.count())
    .where(ExampleRow.dictionary == bindparam("dictionary"), _feature)
    .group_by(ExampleRow.group)
)
_BEST = _shown(ExampleRow.feature.in_(bindparam("features", expanding=True)), is_top(), ExampleRow.rank == 0)
_OF_SENTENCE = _shown(_sentence, is_top())
_ONE = _shown(_feature, _sentence).order_by(ExampleRow.group, ExampleRow.rank).limit(1)


def _to_example(row: Any) -> Example:
    """row: the columns of _shown."""
    _, group, rank, peak, packed, number, text, boundaries, details, offset = row
    ends = unpack_ends(boundaries)
    firings = dict(zip(*unpack_firings(packed), strict=True))
    return Example(
        group=GROUPS[group],
        rank=rank,
        sentence=number,
        text=text,
        peak=None if peak is None else _peak(peak, text, ends, firings),
        ends=ends,
        firings=firings,
        metadata=details,
        offset=offset,
    )


def _peak(position: int, text: str, ends: Sequence[int], firings: Mapping[int, float]) -> Peak:
    start = ends[position - 1] if position else 0
    return Peak(position, text[start : ends[position]], firings.get(position, 0.0))
