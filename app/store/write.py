"""Writing a dictionary: rows under a new key that nobody reads, then made visible in one transaction."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from app.domain import Dictionary, NewDictionary, NewExample, NewFeature, Sentence, TokenLogit, TokenShare
from app.errors import Conflict
from app.store.blobs import pack_firings, pack_spans, pack_statistics, pack_top_tokens
from app.store.database import Database
from app.store.dictionaries import get_dictionary, to_dictionary
from app.store.examples import GROUPS
from app.store.tables import (
    FIRES,
    PROMOTES,
    Base,
    DictionaryRow,
    ExampleRow,
    FeatureRow,
    FeatureTokenRow,
    LabelRow,
    SentenceRow,
    folded,
)

ROWS_A_TRANSACTION = 20_000  # other writers wait no longer than this many rows take
_PARTS: tuple[type[Base], ...] = (ExampleRow, FeatureTokenRow, FeatureRow, SentenceRow)
T = TypeVar("T")


def check_id_free(database: Database, id: str) -> None:
    """Raises Conflict where a published dictionary has the id; asked before the long work begins."""
    with database.read() as session:
        if session.scalar(select(DictionaryRow.key).where(DictionaryRow.published, DictionaryRow.id == id)) is not None:
            raise Conflict(
                f"There is a dictionary {id!r} already; choose another id, or give --replace to put this in its place."
            )


class IndexWriter:
    """One build on its way into the store. What an earlier, killed one of the same id left behind goes first."""

    def __init__(self, database: Database, new: NewDictionary) -> None:
        self.database = database
        _remove_builds(database, new.id, published=False)
        values = {**asdict(new), "published": False, "created_at": datetime.now(UTC)}
        with database.write() as session:
            row = DictionaryRow(**values)
            session.add(row)
            session.flush()
            self.key = row.key

    def add_sentences(self, sentences: Iterable[Sentence]) -> None:
        self._add(SentenceRow, sentences, self._sentence)

    def add_features(self, features: Iterable[NewFeature]) -> None:
        """The features, and the tokens by which lists find them."""
        for some in _pieces(features):
            self._add(FeatureRow, some, self._feature)
            tokens = {
                (kind, folded(token.token), feature.index)
                for feature in some
                for kind, group in ((FIRES, feature.top_tokens), (PROMOTES, feature.promoted))
                for token in _tokens(group)
            }
            self._add(FeatureTokenRow, sorted(tokens), self._token)

    def add_examples(self, examples: Iterable[NewExample]) -> None:
        self._add(ExampleRow, examples, self._example)

    def publish(self, replace: bool) -> Dictionary:
        """The build becomes the dictionary, in one transaction. Raises Conflict where one has come up meanwhile."""
        with self.database.write() as session:
            row = session.get_one(DictionaryRow, self.key)
            older = update(DictionaryRow).where(DictionaryRow.published, DictionaryRow.id == row.id)
            if replace:
                session.execute(older.values(published=False))
            elif session.scalar(select(DictionaryRow.key).where(DictionaryRow.published, DictionaryRow.id == row.id)):
                raise Conflict(
                    f"A dictionary {row.id!r} has come up meanwhile; give --replace to put this in its place."
                )
            row.published = True
            dictionary = to_dictionary(row)
        _remove_builds(self.database, dictionary.id, published=False)
        return dictionary

    def _add(self, table: type[Base], items: Iterable[T], to_row: Callable[[T], dict[str, Any]]) -> None:
        for some in _pieces(items):
            with self.database.write() as session:
                session.execute(insert(table), [to_row(item) for item in some])

    def _sentence(self, sentence: Sentence) -> dict[str, Any]:
        return {
            "dictionary": self.key,
            "number": sentence.number,
            "text": sentence.text,
            "boundaries": pack_spans(sentence.spans),
            "details": dict(sentence.metadata),
            "record": sentence.record,
            "offset": sentence.offset,
        }

    def _feature(self, feature: NewFeature) -> dict[str, Any]:
        return {
            "dictionary": self.key,
            "index": feature.index,
            "n_active_tokens": feature.n_active_tokens,
            "n_active_sentences": feature.n_active_sentences,
            "max_activation": feature.max_activation,
            "mean_activation": feature.mean_activation,
            "top_tokens": pack_top_tokens(feature.top_tokens),
            "statistics": pack_statistics(feature),
        }

    def _token(self, found: tuple[int, str, int]) -> dict[str, Any]:
        kind, token, feature = found
        return {"dictionary": self.key, "kind": kind, "token": token, "feature": feature}

    def _example(self, example: NewExample) -> dict[str, Any]:
        return {
            "dictionary": self.key,
            "feature": example.feature,
            "group": GROUPS.index(example.group),
            "rank": example.rank,
            "sentence": example.sentence,
            "peak": example.peak,
            "firings": pack_firings(example.positions, example.values),
        }


def remove_dictionary(database: Database, id: str) -> None:
    """A dictionary with its labels. Raises NotFound."""
    with database.write() as session:
        get_dictionary(session, id)
        session.execute(delete(LabelRow).where(LabelRow.dictionary_id == id))
        session.execute(update(DictionaryRow).where(DictionaryRow.id == id).values(published=False))
    _remove_builds(database, id, published=False)


def _remove_builds(database: Database, id: str, published: bool) -> None:
    """Every build of the id that is (not) published, a table at a time so that other writers get their turn."""
    with database.read() as session:
        keys = list(
            session.scalars(
                select(DictionaryRow.key).where(DictionaryRow.id == id, DictionaryRow.published == published)
            )
        )
    for key in keys:
        for table in _PARTS:
            with database.write() as session:
                _delete_rows(session, table, key)
        with database.write() as session:
            session.execute(delete(DictionaryRow).where(DictionaryRow.key == key))


def _delete_rows(session: Session, table: type[Base], key: int) -> None:
    session.execute(delete(table).where(table.__table__.c.dictionary == key))


def _pieces(items: Iterable[T]) -> Iterator[Sequence[T]]:
    rest = iter(items)
    while some := list(islice(rest, ROWS_A_TRANSACTION)):
        yield some


def _tokens(group: Sequence[TokenShare] | Sequence[TokenLogit]) -> Sequence[TokenShare | TokenLogit]:
    return group
