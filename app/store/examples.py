"""Examples: a feature's chosen sentences, group by group, with its activation at every token."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, literal, select
from sqlalchemy.orm import Session

from app.domain import Dictionary, Example, Group, Peak, Slice, Token
from app.store.blobs import unpack_firings, unpack_spans
from app.store.cursors import make_cursor, read_cursor
from app.store.tables import ExampleRow, SentenceRow

GROUPS = tuple(Group)  # ExampleRow.group counts into this
_EXAMPLE = (ExampleRow.feature, ExampleRow.group, ExampleRow.rank, ExampleRow.peak, ExampleRow.firings)
_SENTENCE = (SentenceRow.number, SentenceRow.text, SentenceRow.boundaries, SentenceRow.details, SentenceRow.offset)


def list_examples(
    session: Session, dictionary: Dictionary, index: int, group: Group, cursor: str | None, limit: int
) -> Slice[Example]:
    """One group of a feature's examples, strongest (or first drawn) first."""
    name = (dictionary.id, index, group)
    chosen = _of_feature(dictionary, index, group)
    query = _with_sentences().where(chosen).order_by(ExampleRow.rank)
    if cursor is not None:
        (rank,) = read_cursor(name, cursor, int)
        query = query.where(ExampleRow.rank > rank)
    rows = session.execute(query.limit(limit + 1)).all()
    total = session.scalar(select(func.count()).select_from(ExampleRow).where(chosen)) or 0
    following = make_cursor(name, (rows[limit - 1].rank,)) if len(rows) > limit else None
    return Slice([_to_example(row) for row in rows[:limit]], following, total)


def count_examples(session: Session, dictionary: Dictionary, index: int) -> dict[Group, int]:
    """How many examples each group of a feature has."""
    query = (
        select(ExampleRow.group, func.count())
        .where(ExampleRow.dictionary == dictionary.key, ExampleRow.feature == index)
        .group_by(ExampleRow.group)
    )
    counts = {GROUPS[group]: n for group, n in session.execute(query)}
    return {group: counts.get(group, 0) for group in GROUPS}


def best_examples(session: Session, dictionary: Dictionary, indices: Sequence[int]) -> dict[int, Example]:
    """The strongest example of each feature, by index; a feature that never fired has none."""
    query = _with_sentences().where(
        ExampleRow.dictionary == dictionary.key,
        ExampleRow.feature.in_(indices),
        ExampleRow.group == GROUPS.index(Group.TOP),
        ExampleRow.rank == 0,
    )
    return {row.feature: _to_example(row) for row in session.execute(query).all()}


def examples_of_sentence(
    session: Session, dictionary: Dictionary, number: int, limit: int
) -> Slice[tuple[int, Example]]:
    """The features that count a sentence among their strongest examples, the largest peak first, with the example.

    Past `limit` only counted: `next` is always None.
    """
    query = _with_sentences().where(ExampleRow.dictionary == dictionary.key, ExampleRow.sentence == number, is_top())
    rows = session.execute(query).all()
    strongest = sorted(rows, key=lambda row: (-max(unpack_firings(row.firings)[1], default=0.0), row.feature))
    return Slice([(row.feature, _to_example(row)) for row in strongest[:limit]], None, len(rows))


def find_example(session: Session, dictionary: Dictionary, index: int, number: int) -> Example | None:
    """A sentence as one of a feature's examples, in whichever group; None where it is none of them."""
    query = _with_sentences().where(
        ExampleRow.dictionary == dictionary.key, ExampleRow.feature == index, ExampleRow.sentence == number
    )
    row = session.execute(query.order_by(ExampleRow.group, ExampleRow.rank).limit(1)).first()
    return _to_example(row) if row else None


def is_top() -> ColumnElement[bool]:
    """Written into the statement, since an index over top examples alone serves no parameter."""
    return ExampleRow.group == literal(GROUPS.index(Group.TOP), literal_execute=True)


def _of_feature(dictionary: Dictionary, index: int, group: Group) -> Any:
    return and_(
        ExampleRow.dictionary == dictionary.key,
        ExampleRow.feature == index,
        ExampleRow.group == GROUPS.index(group),
    )


def _with_sentences() -> Select[Any]:
    """Plain columns: a page reads dozens of rows, and needs none of them as an object."""
    return select(*_EXAMPLE, *_SENTENCE).join(
        SentenceRow,
        and_(SentenceRow.dictionary == ExampleRow.dictionary, SentenceRow.number == ExampleRow.sentence),
    )


def _to_example(row: Any) -> Example:
    """row: the columns of _with_sentences."""
    _, group, rank, peak, firings, number, text, boundaries, details, offset = row
    activations = dict(zip(*unpack_firings(firings), strict=True))
    tokens = [
        Token(text[start:end], start, end, activations.get(position, 0.0))
        for position, (start, end) in enumerate(unpack_spans(boundaries))
    ]
    return Example(
        group=GROUPS[group],
        rank=rank,
        sentence=number,
        text=text,
        peak=None if peak is None else Peak(peak, tokens[peak].text, tokens[peak].activation),
        tokens=tokens,
        metadata=details,
        offset=offset,
    )
