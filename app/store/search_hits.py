"""What a search shows of the features on one page of its results: their names, and where the words stand."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from app.domain import Dictionary, Example, SearchHit, telling_tokens
from app.store.examples import strongest_with
from app.store.features import get_summaries
from app.store.search_index import key_of
from app.store.search_query import SearchQuery, matches
from app.store.tables import LabelRow, SearchedSentenceRow, SentenceRow

KINDS = ("label", "token", "text", "metadata")  # the order of their rank
LABEL, TOKEN, TEXT, METADATA = range(len(KINDS))
WHOLE = 200  # characters of a label or of a metadata field that are not cut
AROUND = 80  # characters of a snippet on each side of the match
FeatureKey: TypeAlias = tuple[int, int]  # a build and the index of a feature in it


@dataclass(frozen=True)
class Found:
    """One way in which a feature was found. piece: 0 by whole words, 1 by words that hold them.

    stars: of the label; n_examples: that hold the words; where: the label or the searched sentence that shows it.
    """

    kind: int
    feature: FeatureKey
    piece: int
    stars: int
    n_examples: int
    where: int


def describe_hits(
    session: Session, page: Sequence[Found], dictionaries: Mapping[int, Dictionary], query: SearchQuery
) -> list[SearchHit]:
    """One hit for each of the page, in its order."""
    features = {
        key: get_summaries(session, dictionaries[key], [f.feature[1] for f in page if f.feature[0] == key])
        for key in {found.feature[0] for found in page}
    }
    labels = _labels(session, {found.where for found in page if found.kind == LABEL})
    sentences = _sentences(session, {found.where for found in page if found.kind in (TEXT, METADATA)})
    strongest = _strongest(session, page, dictionaries, sentences)
    hits = []
    for found in page:
        key, index = found.feature
        feature = features[key][index]
        number, text, details = (
            sentences.get(found.where, (None, "", {})) if found.kind in (TEXT, METADATA) else (None, "", {})
        )
        if found.kind == TEXT:
            snippet, marks = excerpt(text, query)
        else:
            if found.kind == LABEL:
                snippet = labels[found.where]
            elif found.kind == TOKEN:
                snippet = " ".join(term.text for term in query.wanted)
            else:
                snippet = _matching_field(details, query)
            snippet, marks = excerpt(snippet, query) if len(snippet) > WHOLE else (snippet, matches(query, snippet))
        hits.append(
            SearchHit(
                dictionary=dictionaries[key].id,
                index=index,
                label=feature.label,
                matched=KINDS[found.kind],
                snippet=snippet,
                marks=marks,
                n_examples=found.n_examples,
                n_strongest=strongest[found.feature][0] if found.feature in strongest else 0,
                tokens=[t.token for t in telling_tokens(feature.top_tokens)] if feature.label is None else (),
                example=strongest[found.feature][1] if found.feature in strongest else None,
                number=number,
            )
        )
    return hits


def _strongest(
    session: Session,
    page: Sequence[Found],
    dictionaries: Mapping[int, Dictionary],
    sentences: Mapping[int, tuple[int, str, Mapping[str, Any]]],
) -> dict[FeatureKey, tuple[int, Example | None]]:
    """Of features found by their examples: how many of these there are, and the one whose metadata matched."""
    asked: dict[int, dict[int, int | None]] = {}
    for found in page:
        if found.n_examples:
            key, index = found.feature
            matched = sentences.get(found.where) if found.kind == METADATA else None
            asked.setdefault(key, {})[index] = matched[0] if matched is not None else None
    return {
        (key, index): found
        for key, some in asked.items()
        for index, found in strongest_with(session, dictionaries[key], some).items()
    }


def _labels(session: Session, ids: Collection[int]) -> dict[int, str]:
    if not ids:
        return {}
    return dict(session.execute(select(LabelRow.id, LabelRow.text).where(LabelRow.id.in_(ids))).all())


def _sentences(session: Session, ids: Collection[int]) -> dict[int, tuple[int, str, Mapping[str, Any]]]:
    """Number, text and metadata of searched sentences."""
    if not ids:
        return {}
    chosen = SearchedSentenceRow
    sentence = and_(SentenceRow.dictionary == key_of(chosen.id), SentenceRow.number == chosen.sentence)
    query = select(chosen.id, chosen.sentence, SentenceRow.text, SentenceRow.details).join(SentenceRow, sentence)
    return {
        id: (number, text, details) for id, number, text, details in session.execute(query.where(chosen.id.in_(ids)))
    }


def excerpt(text: str, query: SearchQuery) -> tuple[str, list[tuple[int, int]]]:
    """The text around the first match, cut at spaces, with an ellipsis where something is left out; and its matches."""
    marks = matches(query, text)
    first, last = marks[0] if marks else (0, 0)
    start, end = max(0, first - AROUND), min(len(text), last + AROUND)
    start = text.rfind(" ", 0, start) + 1 if start else 0
    end = text.find(" ", end) if " " in text[end:] else len(text)
    before, after = ("…" if start else ""), ("…" if end < len(text) else "")
    moved = len(before) - start
    return before + text[start:end] + after, [(a + moved, min(b, end) + moved) for a, b in marks if start <= a < end]


def _matching_field(details: Mapping[str, Any], query: SearchQuery) -> str:
    """The field of the metadata in which most of the words stand."""
    fields = [f"{field}: {value}" for field, value in details.items() if value is not None]
    return max(fields, key=lambda field: len(matches(query, field)))
