"""What search finds of a dictionary: the sentences that some feature shows among its strongest examples.

They are put in the order of how strongly they are shown (those that are the strongest example of some feature first),
so that a search which reads no further than its first thousand has read the examples that matter most.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import and_, delete, insert, select
from sqlalchemy.orm import Session

from app.store.example_blobs import PackedExamples
from app.store.full_text import forget_unused_words, learn_words, put_words, take_words
from app.store.tables import DictionaryRow, FeatureExamplesRow, LabelRow, SearchedSentenceRow, SentenceRow
from app.store.topic_index import note_topics
from app.store.words import spaced

if TYPE_CHECKING:
    from app.store.example_packing import StrongestExamples

ROWS_A_TRANSACTION = 10_000
_KEY_BITS = 32
_WORD_CHARACTERS = 40  # longer ones are nobody's words
Transaction = Callable[[], AbstractContextManager[Session]]


def first_place(key: int) -> int:
    """The ids of a build's searched sentences go from here to below the next key's."""
    return key << _KEY_BITS


def key_of(id: Any) -> Any:
    """The build that a searched sentence belongs to. id: a column."""
    return id // (1 << _KEY_BITS)


def index_words(transaction: Transaction, key: int, strongest: "Sequence[StrongestExamples]") -> None:
    """Makes a build's examples findable, in transactions that others need not wait long for.

    A sentence and its words come in the same one: a build that dies leaves none whose words are not there, since to
    take out what was never put in would damage the index.
    """
    chosen = _chosen(key, strongest)
    while some := list(islice(chosen, ROWS_A_TRANSACTION)):
        with transaction() as session:
            session.execute(insert(SearchedSentenceRow), some)
            rows = _rows(session, key, some[0]["id"] - 1)
            put_words(session, rows)
            learn_words(session, _vocabulary(rows))


def index_chosen(transaction: Transaction, key: int) -> None:
    """Puts the words of the searched sentences that are there into the index."""
    for rows in _pieces(transaction, key):
        with transaction() as session:
            put_words(session, rows)
            learn_words(session, _vocabulary(rows))


def index_everything(session: Session) -> None:
    """All that is published, and all labels: for a database whose tables came from another one."""
    for key in session.scalars(select(DictionaryRow.key).where(DictionaryRow.published)).all():
        strongest = strongest_examples(session, key)
        index_words(lambda: nullcontext(session), key, [strongest])
        note_topics(lambda: nullcontext(session), key, strongest)
    learn_words(session, vocabulary_of(session.scalars(select(LabelRow.words))))


def unindex_words(transaction: Transaction, key: int) -> None:
    """Takes a build's examples out again; asked before its sentences go."""
    for rows in _pieces(transaction, key):
        with transaction() as session:
            take_words(session, rows)
            ids = SearchedSentenceRow.id.between(rows[0]["rowid"], rows[-1]["rowid"])
            session.execute(delete(SearchedSentenceRow).where(ids))
    with transaction() as session:
        forget_unused_words(session)


def searched_metadata(details: Mapping[str, Any]) -> str:
    """The values of a sentence's metadata, a line each."""
    return "\n".join(str(value) for value in details.values() if value is not None)


def _chosen(key: int, strongest: "Sequence[StrongestExamples]") -> Iterator[dict[str, Any]]:
    from app.store.example_packing import joined

    for place, (sentence, features) in enumerate(joined(strongest).by_sentence(), 1):
        yield {"id": first_place(key) + place, "sentence": sentence, "features": features}


def strongest_examples(session: Session, key: int) -> "StrongestExamples":
    """As the writer gathers it, read back from what is stored."""
    from app.store.example_packing import StrongestExamples

    row = FeatureExamplesRow
    sentences, features, ranks = array("q"), array("q"), array("q")  # millions: as tuples they take half a gigabyte
    query = select(row.feature, row.packed).where(row.dictionary == key).execution_options(yield_per=ROWS_A_TRANSACTION)
    for feature, packed in session.execute(query):
        strongest = PackedExamples(packed).strongest
        sentences.extend(strongest)
        features.extend([feature] * len(strongest))
        ranks.extend(range(len(strongest)))
    return StrongestExamples(*(np.array(numbers, np.int64) for numbers in (sentences, features, ranks)))


def _pieces(transaction: Transaction, key: int) -> Iterator[Sequence[dict[str, Any]]]:
    """The rows of put_words, some at a time."""
    last = first_place(key)
    while True:
        with transaction() as session:
            rows = _rows(session, key, last)
        if not rows:
            return
        yield rows
        last = rows[-1]["rowid"]


def _rows(session: Session, key: int, last: int) -> list[dict[str, Any]]:
    """Of the first searched sentences behind place `last`."""
    return [
        {"rowid": id, "text": spaced(text), "metadata": spaced(searched_metadata(details))}
        for id, text, details in session.execute(_with_texts(key, last))
    ]


def _with_texts(key: int, last: int) -> Any:
    of_build = and_(SentenceRow.dictionary == key, SentenceRow.number == SearchedSentenceRow.sentence)
    return (
        select(SearchedSentenceRow.id, SentenceRow.text, SentenceRow.details)
        .join(SentenceRow, of_build)
        .where(SearchedSentenceRow.id > last, SearchedSentenceRow.id < first_place(key + 1))
        .order_by(SearchedSentenceRow.id)
        .limit(ROWS_A_TRANSACTION)
    )


def _vocabulary(rows: Sequence[dict[str, Any]]) -> list[str]:
    return vocabulary_of(f"{row['text']} {row['metadata']}" for row in rows)


def vocabulary_of(texts: Iterable[str]) -> list[str]:
    """The different words of texts as `spaced` made them, in order of appearance; signs and single letters are none."""
    words = dict.fromkeys(word for text in texts for word in text.split())
    return [word for word in words if 1 < len(word) <= _WORD_CHARACTERS and word[0].isalnum()]
