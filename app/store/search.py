"""Search: features by what they are called, fire on, and are shown with, across dictionaries."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, and_, cast, func, literal, select, tuple_, union_all
from sqlalchemy.orm import Session

from app.domain import Dictionary, Json, SearchHit, Slice
from app.errors import Invalid
from app.store.cursors import make_cursor, read_cursor
from app.store.dictionaries import get_dictionary, list_dictionaries
from app.store.examples import is_top
from app.store.tables import FIRES, ExampleRow, FeatureTokenRow, LabelRow, SentenceRow, folded

KINDS = ("label", "token", "text", "metadata")  # the order of their rank
_KIND_STEP = 1000
_AROUND = 80  # characters of a snippet on each side of the match
_METADATA = 500  # different metadata that one search follows


def search(
    session: Session, q: str, dictionary_id: str | None, kinds: Sequence[str] | None, cursor: str | None, limit: int
) -> Slice[SearchHit]:
    """Features that hold every word of q in one label, token, example or metadata; those with most examples first."""
    words = q.split()
    if not words:
        raise Invalid("The search is empty; type a word.")
    wanted = tuple(KINDS if kinds is None else kinds)
    if unknown := set(wanted) - set(KINDS):
        raise Invalid(f"There is no kind {sorted(unknown)[0]!r} to search; there are {', '.join(KINDS)}.")
    found = [get_dictionary(session, dictionary_id)] if dictionary_id is not None else list_dictionaries(session)
    dictionaries = {dictionary.key: dictionary for dictionary in found}
    parts = [part for kind in wanted for part in _hits(session, kind, words, list(dictionaries.values()))]
    if not parts:
        return Slice([], None, 0)
    every = union_all(*parts).subquery()
    rank = func.min(every.c.rank).label("rank")
    ranked = select(every.c.dictionary, every.c.feature, rank).group_by(every.c.dictionary, every.c.feature).subquery()
    total = session.scalar(select(func.count()).select_from(ranked)) or 0
    order = (ranked.c.rank, ranked.c.dictionary, ranked.c.feature)
    query = select(*order).order_by(*order)
    name = ("search", q, dictionary_id, wanted)
    if cursor is not None:
        place = read_cursor(name, cursor, int, int, int)
        query = query.where(tuple_(*order) > tuple_(*(literal(value) for value in place)))
    rows = session.execute(query.limit(limit + 1)).all()
    following = make_cursor(name, tuple(rows[limit - 1])) if len(rows) > limit else None
    hits = [
        _hit(session, dictionaries[key], feature, KINDS[-(-r // _KIND_STEP)], words) for r, key, feature in rows[:limit]
    ]
    return Slice(hits, following, total)


def _rank(kind: str, n: ColumnElement[int] | int) -> Any:
    """Smaller is better: the kind first, then how many of the top examples hold the words (at most 20)."""
    return literal(KINDS.index(kind) * _KIND_STEP) - n


def _hits(session: Session, kind: str, words: list[str], dictionaries: list[Dictionary]) -> list[Select[Any]]:
    keys = [dictionary.key for dictionary in dictionaries]
    if kind == "label":
        return [
            select(
                literal(d.key).label("dictionary"), LabelRow.feature.label("feature"), _rank(kind, 0).label("rank")
            ).where(LabelRow.dictionary_id == d.id, *_holds(LabelRow.text, words))
            for d in dictionaries
        ]
    if kind == "token":
        token = folded(" ".join(words))
        return [
            select(FeatureTokenRow.dictionary, FeatureTokenRow.feature, _rank(kind, 0).label("rank")).where(
                FeatureTokenRow.dictionary.in_(keys), FeatureTokenRow.kind == FIRES, FeatureTokenRow.token == token
            )
        ]
    if kind == "text":
        matches = _holds(SentenceRow.text, words)
    else:
        same = _matching_metadata(session, words, keys)
        if not same:
            return []
        matches = [cast(SentenceRow.details, Text).in_(same)]
    return [
        select(ExampleRow.dictionary, ExampleRow.feature, _rank(kind, func.count()).label("rank"))
        .join(SentenceRow, _sentence_of_example())
        .where(ExampleRow.dictionary.in_(keys), is_top(), *matches)
        .group_by(ExampleRow.dictionary, ExampleRow.feature)
    ]


def _hit(session: Session, dictionary: Dictionary, feature: int, kind: str, words: list[str]) -> SearchHit:
    name = session.scalar(
        select(LabelRow.text).where(
            LabelRow.dictionary_id == dictionary.id, LabelRow.feature == feature, LabelRow.is_name
        )
    )
    return SearchHit(dictionary.id, feature, name, kind, _snippet(session, dictionary, feature, kind, words))


def _snippet(session: Session, dictionary: Dictionary, feature: int, kind: str, words: list[str]) -> str:
    if kind == "label":
        text = select(LabelRow.text).where(
            LabelRow.dictionary_id == dictionary.id, LabelRow.feature == feature, *_holds(LabelRow.text, words)
        )
        return session.scalar(text.limit(1)) or ""
    examples = (
        select(SentenceRow)
        .join(ExampleRow, _sentence_of_example())
        .where(ExampleRow.dictionary == dictionary.key, ExampleRow.feature == feature, is_top())
        .order_by(ExampleRow.rank)
    )
    if kind == "text":
        row = session.scalar(examples.where(*_holds(SentenceRow.text, words)).limit(1))
        return excerpt(row.text, words) if row else ""
    if kind == "metadata":
        for row in session.scalars(examples):
            for field, value in row.details.items():
                if _value_holds(value, words):
                    return f"{field}: {value}"
    return " ".join(words)


def excerpt(text: str, words: Sequence[str]) -> str:
    """The text around the first of the words, cut at spaces, with an ellipsis where something is left out."""
    at = max(0, text.lower().find(words[0].lower()))
    start, end = max(0, at - _AROUND), min(len(text), at + len(words[0]) + _AROUND)
    start = text.rfind(" ", 0, start) + 1 if start else 0
    end = text.find(" ", end) if " " in text[end:] else len(text)
    return ("…" if start else "") + text[start:end] + ("…" if end < len(text) else "")


def _matching_metadata(session: Session, words: list[str], keys: list[int]) -> list[str]:
    """The metadata, as stored, of which some value holds every word."""
    stored = cast(SentenceRow.details, Text)
    query = select(stored).where(SentenceRow.dictionary.in_(keys), *_holds(stored, words)).distinct()
    found = session.scalars(query.limit(_METADATA))
    return [text for text in found if any(_value_holds(value, words) for value in json.loads(text).values())]


def _value_holds(value: Json, words: Sequence[str]) -> bool:
    text = str(value).lower()
    return all(word.lower() in text for word in words)


def _holds(column: Any, words: Sequence[str]) -> list[ColumnElement[bool]]:
    return [column.icontains(word, autoescape=True) for word in words]


def _sentence_of_example() -> ColumnElement[bool]:
    return and_(SentenceRow.dictionary == ExampleRow.dictionary, SentenceRow.number == ExampleRow.sentence)
