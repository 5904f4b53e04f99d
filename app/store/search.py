"""Search: features by what they are called, fire on, and are shown with, in one dictionary or all."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any, TypeAlias

from sqlalchemy import Select, and_, func, literal, select, union_all
from sqlalchemy.orm import Session

from app.domain import Dictionary, SearchResults, Slice
from app.errors import Invalid
from app.store.blobs import unpack_ascending
from app.store.cursors import make_cursor, read_cursor
from app.store.dictionaries import get_dictionary, list_dictionaries
from app.store.full_text import TRIGRAM, Sought, matching_labels, matching_sentences, words_beginning, words_holding
from app.store.search_hits import KINDS, LABEL, METADATA, TEXT, TOKEN, FeatureKey, Found, describe_hits
from app.store.search_index import first_place
from app.store.search_query import SearchQuery, Term, parse_query
from app.store.tables import FIRES, FeatureTokenRow, LabelRow, SearchedSentenceRow, folded

READ = 500  # sentences, labels and tokens that one search reads of each kind
READ_OF_EACH = 100  # of each dictionary at least, where a search goes over many
OTHER_WORDS = 24  # of the vocabulary that may stand for what was typed, of each sort
# What results are ordered by: how good the match is, then which feature it is.
Place: TypeAlias = tuple[int, int, int, int, int, int]


def search(
    session: Session, q: str, dictionary_id: str | None, kind: str | None, cursor: str | None, limit: int
) -> SearchResults:
    """Features with all that q asks for in one label, token, example or sentence's metadata, the likeliest meant first.

    Labels go before tokens, these before examples and metadata; whole words before pieces of words; then more stars of
    the label, then more of the feature's strongest examples with the words. Raises Invalid and NotFound.
    """
    if kind is not None and kind not in KINDS:
        raise Invalid(f"There is no kind {kind!r} to search; there are {', '.join(KINDS)}.")
    query = parse_query(q)
    searched = [get_dictionary(session, dictionary_id)] if dictionary_id is not None else list_dictionaries(session)
    dictionaries = {dictionary.key: dictionary for dictionary in searched}
    loosened = query.loosened(_other_words(session, query))
    every, is_complete = _everything(session, query, loosened, searched)
    ranked = _ranked(found for found in every if kind is None or KINDS[found.kind] == kind)
    in_dictionaries = Counter(found.feature[0] for _, found in ranked)
    total = len(ranked)
    name = ("search", q, dictionary_id, kind)
    if cursor is not None:
        place = tuple(read_cursor(name, cursor, int, int, int, int, int, int))
        ranked = [item for item in ranked if item[0] > place]
    following = make_cursor(name, ranked[limit - 1][0]) if len(ranked) > limit else None
    page = [replace(found, n_examples=-place[3]) for place, found in ranked[:limit]]
    hits = describe_hits(session, page, dictionaries, loosened)
    return SearchResults(
        hits=Slice(hits, following, total),
        kinds={name: n for number, name in enumerate(KINDS) if (n := _n_features(every, number))},
        dictionaries={d.id: in_dictionaries[d.key] for d in searched if in_dictionaries[d.key]},
        is_complete=is_complete,
    )


def _everything(
    session: Session, query: SearchQuery, loosened: SearchQuery, searched: Sequence[Dictionary]
) -> tuple[list[Found], bool]:
    """Every way in which a feature is found, and whether all that matches was read."""
    read = max(READ_OF_EACH, READ // max(1, len(searched)))
    keys = [dictionary.key for dictionary in searched]
    labels = _in_labels(session, query, loosened, searched)
    tokens = _in_tokens(session, query, keys)
    sentences, is_complete = _in_sentences(session, query, loosened, keys, read)
    return [*labels, *tokens, *sentences], is_complete and len(labels) < READ and len(tokens) < READ


def _n_features(every: Sequence[Found], kind: int) -> int:
    return len({found.feature for found in every if found.kind == kind})


def _ranked(every: Iterable[Found]) -> list[tuple[Place, Found]]:
    """Each feature once, by the best way in which it was found, with the place that it has.

    What is found by metadata is ranked by how many examples have it, everything else by how many hold the words.
    """
    best: dict[FeatureKey, Found] = {}
    n_examples: Counter[tuple[FeatureKey, bool]] = Counter()
    for found in every:
        n_examples[found.feature, found.kind == METADATA] += found.n_examples
        other = best.get(found.feature)
        if other is None or (found.kind, found.piece, -found.stars) < (other.kind, other.piece, -other.stars):
            best[found.feature] = found
    ranked = []
    for feature, found in best.items():
        n = n_examples[feature, found.kind == METADATA]
        place = (found.kind, found.piece, -found.stars, -n, *feature)
        ranked.append((place, found))
    return sorted(ranked, key=itemgetter(0))


def _other_words(session: Session, query: SearchQuery) -> dict[Term, list[str]]:
    """For each term the words that begin with what was typed, then those that hold it."""
    loose = [term for term in query.wanted if term.can_loosen]
    parts: list[Select[Any]] = []
    for number, term in enumerate(loose):
        parts.append(_numbered(number, words_beginning(term.last, OTHER_WORDS)))
        if len(term.words) == 1 and len(term.last) >= TRIGRAM:
            parts.append(_numbered(number, words_holding(session, term.last, OTHER_WORDS)))
    others: dict[Term, list[str]] = {}
    for number, word in session.execute(union_all(*parts)) if parts else ():
        others.setdefault(loose[number], []).append(word)
    return others


def _numbered(number: int, query: Select[Any]) -> Select[Any]:
    words = query.subquery()
    return select(literal(number, literal_execute=True), words.c.word)


def _in_labels(
    session: Session, query: SearchQuery, loosened: SearchQuery, searched: Sequence[Dictionary]
) -> list[Found]:
    keys = {dictionary.id: dictionary.key for dictionary in searched}
    columns = (LabelRow.dictionary_id, LabelRow.feature, LabelRow.stars, LabelRow.id)
    found = []
    for piece, sought in enumerate(_sought("words", query, loosened)):
        labels = matching_labels(session, sought, list(keys), *columns).limit(READ)
        for id, feature, stars, label in session.execute(labels):
            found.append(Found(LABEL, (keys[id], feature), piece, stars, 0, label))
    return found


def _in_tokens(session: Session, query: SearchQuery, keys: Sequence[int]) -> list[Found]:
    """Features that fire on every term as a token; a single term may also be how a token begins."""
    row = FeatureTokenRow
    fires = and_(row.dictionary.in_(keys), row.kind == literal(FIRES, literal_execute=True))
    tokens = {folded(term.text) for term in query.wanted}
    exact = select(row.dictionary, row.feature, literal(0, literal_execute=True)).where(fires, row.token.in_(tokens))
    exact = exact.group_by(row.dictionary, row.feature).having(func.count() == len(tokens)).limit(READ)
    parts = [exact.subquery()]
    (begun,) = tokens if len(tokens) == 1 else ("",)
    if len(begun) > 1 and not query.wanted[0].is_quoted:
        begins = select(row.dictionary, row.feature, literal(1, literal_execute=True))
        begins = begins.where(fires, row.token > begun, row.token < begun + "\U0010ffff").limit(READ)
        parts.append(begins.subquery())
    rows = {tuple(row) for row in session.execute(union_all(*(select(part) for part in parts)))}
    excluded = [folded(term.text) for term in query.excluded]
    without = select(row.dictionary, row.feature).where(fires, row.token.in_(excluded))
    left_out = {tuple(row) for row in session.execute(without)} if excluded else set()
    return [
        Found(TOKEN, (key, index), piece, 0, 0, 0) for key, index, piece in sorted(rows) if (key, index) not in left_out
    ]


def _in_sentences(
    session: Session, query: SearchQuery, loosened: SearchQuery, keys: Sequence[int], read: int
) -> tuple[list[Found], bool]:
    """By examples and by their metadata; and whether every sentence that matches was read."""
    parts = [
        _sentences_showing(session, kind, sought, key, piece, read)
        for key in keys
        for kind in (TEXT, METADATA)
        for piece, sought in enumerate(_sought(KINDS[kind], query, loosened))
    ]
    n_read: Counter[tuple[int, int, int]] = Counter()
    n_examples: Counter[tuple[int, int, int, int]] = Counter()
    first: dict[tuple[int, int, int, int], int] = {}
    for kind, key, piece, place, features in session.execute(union_all(*parts)) if parts else ():
        n_read[kind, key, piece] += 1
        for feature in unpack_ascending(features):
            way = (kind, key, feature, piece)
            n_examples[way] += 1
            first[way] = min(first.get(way, place), place)
    found = [
        Found(kind, (key, feature), piece, 0, n, first[kind, key, feature, piece])
        for (kind, key, feature, piece), n in n_examples.items()
    ]
    return found, all(n < read for n in n_read.values())


def _sought(column: str, query: SearchQuery, loosened: SearchQuery) -> list[Sought]:
    """By whole words, then by the others that may be meant, where there are any."""
    whole = Sought(column, query)
    return [whole] if loosened == query else [whole, Sought(column, loosened, without=query)]


def _sentences_showing(session: Session, kind: int, sought: Sought, key: int, piece: int, read: int) -> Any:
    matching = matching_sentences(session, sought, first_place(key), first_place(key + 1) - 1, read).subquery()
    chosen = SearchedSentenceRow
    number, build, is_piece = (literal(value, literal_execute=True) for value in (kind, key, piece))
    columns = (number, build, is_piece, chosen.id, chosen.features)
    return select(*columns).select_from(matching).join(chosen, chosen.id == matching.c.rowid)
