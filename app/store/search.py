"""Search: features by what they are called, fire on, and are shown with, in one dictionary or all."""

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, cast

from sqlalchemy import Select, bindparam, func, literal_column, select, union_all
from sqlalchemy.orm import Session

from app.domain import Dictionary, SearchResults, Slice
from app.errors import Invalid
from app.store.cursors import make_cursor, read_cursor
from app.store.dictionaries import get_dictionary, list_dictionaries
from app.store.full_text import (
    TRIGRAM,
    Sought,
    is_postgresql,
    like,
    matching_labels,
    matching_sentences,
    words_beginning,
    words_holding,
)
from app.store.search_hits import KINDS, LABEL, METADATA, TEXT, TOKEN, FeatureKey, Found, describe_hits
from app.store.search_index import first_place
from app.store.search_query import SearchQuery, Term, parse_query
from app.store.search_rank import Ways, chosen, count_kinds, joined, rank, ways_of, ways_through_sentences
from app.store.tables import FIRES, FeatureTokenRow, LabelRow, SearchedSentenceRow, folded

READ = 500  # sentences, labels and tokens that one search reads of each kind
READ_OF_EACH = 100  # of each dictionary at least, where a search goes over many
FEW = 4000  # sentences that are sooner found and sorted than looked for in their order
OTHER_WORDS = 24  # of the vocabulary that may stand for what was typed, of each sort


def search(
    session: Session, q: str, dictionary_id: str | None, kind: str | None, cursor: str | None, limit: int
) -> SearchResults:
    """Features with all that q asks for in one label, token, example or sentence's metadata, the likeliest meant first.

    How they are ranked: see search_rank.rank. Raises Invalid and NotFound.
    """
    if kind is not None and kind not in KINDS:
        raise Invalid(f"There is no kind {kind!r} to search; there are {', '.join(KINDS)}.")
    query = parse_query(q)
    searched = [get_dictionary(session, dictionary_id)] if dictionary_id is not None else list_dictionaries(session)
    loosened = query.loosened(_other_words(session, query))
    every, is_complete = _everything(session, query, loosened, searched)
    ranked = rank(every if kind is None else chosen(every, every.kind == KINDS.index(kind)))
    builds = ranked.builds()
    total = len(ranked.place)
    name = ("search", q, dictionary_id, kind)
    if cursor is not None:
        ranked = ranked.after(*(cast(int, number) for number in read_cursor(name, cursor, int, int)))
    is_more = len(ranked.place) > limit
    following = make_cursor(name, (int(ranked.place[limit - 1]), int(ranked.ways.of[limit - 1]))) if is_more else None
    hits = describe_hits(session, ranked.first(limit), {d.key: d for d in searched}, loosened)
    return SearchResults(
        hits=Slice(hits, following, total),
        kinds=count_kinds(every),
        dictionaries={d.id: builds[d.key] for d in searched if d.key in builds},
        is_complete=is_complete,
    )


def _everything(
    session: Session, query: SearchQuery, loosened: SearchQuery, searched: Sequence[Dictionary]
) -> tuple[Ways, bool]:
    """Every way in which a feature is found, and whether all that matches was read."""
    read = max(READ_OF_EACH, READ // max(1, len(searched)))
    keys = [dictionary.key for dictionary in searched]
    labels = _in_labels(session, query, loosened, searched)
    tokens = _in_tokens(session, query, keys)
    sentences, is_complete = _in_sentences(session, query, loosened, keys, read)
    every = joined([ways_of([*labels, *tokens]), *sentences])
    return every, is_complete and len(labels) < READ and len(tokens) < READ


def _other_words(session: Session, query: SearchQuery) -> dict[Term, list[str]]:
    """For each term the words that begin with what was typed, then those that hold it."""
    loose = [term for term in query.wanted if term.can_loosen]
    if not loose:
        return {}
    have_pieces = tuple(len(term.words) == 1 and len(term.last) >= TRIGRAM for term in loose)
    asked = {name: text for n, term in enumerate(loose) for name, text in like(f"word_{n}", term.last).items()}
    others: dict[Term, list[str]] = {}
    for number, word in session.execute(_words_like(is_postgresql(session), have_pieces), asked):
        others.setdefault(loose[number], []).append(word)
    return others


@lru_cache(maxsize=256)
def _words_like(on_postgresql: bool, have_pieces: Sequence[bool]) -> Any:
    """Built once for searches of the same shape. have_pieces: of each term, whether it is long enough for pieces."""
    parts: list[Select[Any]] = []
    for number, has_pieces in enumerate(have_pieces):
        parts.append(_numbered(number, words_beginning(f"word_{number}", OTHER_WORDS)))
        if has_pieces:
            parts.append(_numbered(number, words_holding(on_postgresql, f"word_{number}", OTHER_WORDS)))
    return union_all(*parts)


def _numbered(number: int, query: Select[Any]) -> Select[Any]:
    words = query.subquery()
    return select(literal_column(str(number)), words.c.word)


def _in_labels(
    session: Session, query: SearchQuery, loosened: SearchQuery, searched: Sequence[Dictionary]
) -> list[Found]:
    keys = {dictionary.id: dictionary.key for dictionary in searched}
    statement = _labels_holding(is_postgresql(session))
    found = []
    for piece, sought in enumerate(_sought("words", query, loosened)):
        asked = {"sought": sought.text(session), "dictionary_ids": list(keys)}
        for id, feature, stars, label in session.execute(statement, asked):
            found.append(Found(LABEL, (keys[id], feature), piece, stars, 0, label))
    return found


@cache
def _labels_holding(on_postgresql: bool) -> Any:
    columns = (LabelRow.dictionary_id, LabelRow.feature, LabelRow.stars, LabelRow.id)
    return matching_labels(on_postgresql, *columns).limit(READ)


def _in_tokens(session: Session, query: SearchQuery, keys: Sequence[int]) -> list[Found]:
    """Features that fire on every term as a token; a single term may also be how a token begins."""
    tokens = {folded(term.text) for term in query.wanted}
    asked: dict[str, Any] = {"keys": keys, "tokens": sorted(tokens), "n_tokens": len(tokens)}
    rows = dict.fromkeys(_features(session, _FIRING, asked), 0)
    (begun,) = tokens if len(tokens) == 1 else ("",)
    if len(begun) > 1 and not query.wanted[0].is_quoted:
        asked = {"keys": keys, "begun": begun, "last": begun + "\U0010ffff"}
        rows = dict.fromkeys(_features(session, _FIRING_ON_BEGUN, asked), 1) | rows
    excluded = [folded(term.text) for term in query.excluded]
    if excluded:
        asked = {"keys": keys, "tokens": excluded}
        for feature in _features(session, _FIRING_ON_ANY, asked):
            rows.pop(feature, None)
    return [Found(TOKEN, feature, piece, 0, 0, 0) for feature, piece in sorted(rows.items())]


def _features(session: Session, statement: Any, asked: Mapping[str, Any]) -> list[FeatureKey]:
    return [(key, index) for key, index in session.execute(statement, asked)]


_row = FeatureTokenRow
_ON_TOKENS = select(_row.dictionary, _row.feature).where(
    _row.dictionary.in_(bindparam("keys", expanding=True)), _row.kind == literal_column(str(FIRES))
)
_FIRING_ON_ANY = _ON_TOKENS.where(_row.token.in_(bindparam("tokens", expanding=True)))
_FIRING = (
    _FIRING_ON_ANY.group_by(_row.dictionary, _row.feature).having(func.count() == bindparam("n_tokens")).limit(READ)
)
_FIRING_ON_BEGUN = _ON_TOKENS.where(_row.token > bindparam("begun"), _row.token < bindparam("last")).limit(READ)


def _in_sentences(
    session: Session, query: SearchQuery, loosened: SearchQuery, keys: Sequence[int], read: int
) -> tuple[list[Ways], bool]:
    """By examples and by their metadata; and whether every sentence that matches was read."""
    if not keys:
        return [], True
    sought = {kind: _sought(KINDS[kind], query, loosened) for kind in (TEXT, METADATA)}
    asked = {_name(kind, n): each.text(session) for kind, several in sought.items() for n, each in enumerate(several)}
    rows: dict[tuple[int, int, int], list[tuple[int, bytes]]] = {}
    statement = _sentences_showing(is_postgresql(session), tuple(keys), len(sought[TEXT]))
    for kind, key, piece, place, features in session.execute(statement, asked | {"read": read}):
        rows.setdefault((kind, key, piece), []).append((place, features))
    is_complete = all(len(found) < read for found in rows.values())
    return [ways_through_sentences(*way, found) for way, found in rows.items()], is_complete


@lru_cache(maxsize=256)
def _sentences_showing(on_postgresql: bool, keys: Sequence[int], n_pieces: int) -> Any:
    """Built once for searches of the same shape. n_pieces: how many that are sought in each column."""
    chosen = SearchedSentenceRow
    parts = []
    for key in keys:
        for kind in (TEXT, METADATA):
            for piece in range(n_pieces):
                ends = first_place(key), first_place(key + 1) - 1
                named = KINDS[kind], _name(kind, piece)
                matching = matching_sentences(on_postgresql, *named, *ends, FEW if piece else None).subquery()
                columns = (*(literal_column(str(n)) for n in (kind, key, piece)), chosen.id, chosen.features)
                parts.append(select(*columns).select_from(matching).join(chosen, chosen.id == matching.c.rowid))
    return union_all(*parts)


def _name(kind: int, piece: int) -> str:
    return f"sought_{KINDS[kind]}_{piece}"


def _sought(column: str, query: SearchQuery, loosened: SearchQuery) -> list[Sought]:
    """By whole words, then by the others that may be meant, where there are any."""
    whole = Sought(column, query)
    return [whole] if loosened == query else [whole, Sought(column, loosened, without=query)]
