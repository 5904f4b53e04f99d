"""What a search shows of the features on one page of its results: their names, and where the words stand."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import and_, or_, select, tuple_
from sqlalchemy.orm import Session

from app.domain import Dictionary, SearchHit, telling_tokens
from app.store.blobs import unpack_top_tokens
from app.store.search_index import key_of
from app.store.search_query import SearchQuery, matches
from app.store.tables import FeatureRow, LabelRow, SearchedSentenceRow, SentenceRow

KINDS = ("label", "token", "text", "metadata")  # the order of their rank
LABEL, TOKEN, TEXT, METADATA = range(len(KINDS))
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
    names = _names(session, page, dictionaries)
    tokens = _tokens(session, [f.feature for f in page if (dictionaries[f.feature[0]].id, f.feature[1]) not in names])
    labels = _labels(session, {found.where for found in page if found.kind == LABEL})
    sentences = _sentences(session, {found.where for found in page if found.kind in (TEXT, METADATA)})
    hits = []
    for found in page:
        if found.kind == LABEL:
            snippet = labels[found.where]
        elif found.kind == TOKEN:
            snippet = " ".join(term.text for term in query.wanted)
        elif found.kind == TEXT:
            snippet = excerpt(sentences[found.where][0], query)
        else:
            snippet = _matching_field(sentences[found.where][1], query)
        key, index = found.feature
        id = dictionaries[key].id
        hits.append(
            SearchHit(
                dictionary=id,
                index=index,
                label=names.get((id, index)),
                matched=KINDS[found.kind],
                snippet=snippet,
                marks=matches(query, snippet),
                n_examples=found.n_examples,
                tokens=tokens.get(found.feature, ()),
                sentence=excerpt(sentences[found.where][0], query) if found.kind == METADATA else None,
            )
        )
    return hits


def _names(
    session: Session, page: Sequence[Found], dictionaries: Mapping[int, Dictionary]
) -> dict[tuple[str, int], str]:
    """What the features are called, by dictionary id and index."""
    features = [(dictionaries[key].id, index) for key, index in (found.feature for found in page)]
    if not features:
        return {}
    query = select(LabelRow.dictionary_id, LabelRow.feature, LabelRow.text).where(
        LabelRow.is_name, tuple_(LabelRow.dictionary_id, LabelRow.feature).in_(features)
    )
    return {(id, feature): text for id, feature, text in session.execute(query)}


def _tokens(session: Session, features: Collection[FeatureKey]) -> dict[FeatureKey, list[str]]:
    """The most telling tokens of each feature."""
    if not features:
        return {}
    row = FeatureRow
    of = {key: [index for other, index in features if other == key] for key, _ in features}
    chosen = or_(*(and_(row.dictionary == key, row.index.in_(indices)) for key, indices in of.items()))
    query = select(row.dictionary, row.index, row.n_active_tokens, row.top_tokens).where(chosen)
    return {
        (key, index): [token.token for token in telling_tokens(unpack_top_tokens(packed, n))]
        for key, index, n, packed in session.execute(query)
    }


def _labels(session: Session, ids: Collection[int]) -> dict[int, str]:
    if not ids:
        return {}
    return dict(session.execute(select(LabelRow.id, LabelRow.text).where(LabelRow.id.in_(ids))).all())


def _sentences(session: Session, ids: Collection[int]) -> dict[int, tuple[str, Mapping[str, Any]]]:
    """Text and metadata of searched sentences."""
    if not ids:
        return {}
    chosen = SearchedSentenceRow
    sentence = and_(SentenceRow.dictionary == key_of(chosen.id), SentenceRow.number == chosen.sentence)
    query = select(chosen.id, SentenceRow.text, SentenceRow.details).join(SentenceRow, sentence)
    return {id: (text, details) for id, text, details in session.execute(query.where(chosen.id.in_(ids)))}


def excerpt(text: str, query: SearchQuery) -> str:
    """The text around the first match, cut at spaces, with an ellipsis where something is left out."""
    first, last = (matches(query, text) or [(0, 0)])[0]
    start, end = max(0, first - AROUND), min(len(text), last + AROUND)
    start = text.rfind(" ", 0, start) + 1 if start else 0
    end = text.find(" ", end) if " " in text[end:] else len(text)
    return ("…" if start else "") + text[start:end] + ("…" if end < len(text) else "")


def _matching_field(details: Mapping[str, Any], query: SearchQuery) -> str:
    """The field of the metadata in which most of the words stand."""
    fields = [f"{field}: {value}" for field, value in details.items() if value is not None]
    return max(fields, key=lambda field: len(matches(query, field)))
