"""What each feature of a build is about: the metadata value that most of its strongest examples have."""

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from app.store.tables import FeatureTopicRow, SentenceRow, TopicRow
from app.store.topics import as_words

if TYPE_CHECKING:
    from app.store.example_packing import StrongestExamples

Ints = NDArray[np.int64]
SHARE, LIFT = 0.2, 2  # of the examples, and over the value's share of all sentences: less is no more than chance
LONGEST = 100  # characters of a value; longer ones are texts of their own
MOST_FIELDS = 16
ROWS_A_TRANSACTION = 10_000


@dataclass(frozen=True)
class Topics:
    """Of those of n features that are about something, in ascending order: the place of its topic in `named`, how
    many of its strongest examples have it, and how many it has."""

    named: Sequence[tuple[str, str]]  # field and value
    features: Ints
    topics: Ints
    n: Ints
    of: Ints


def note_topics(
    transaction: Callable[[], AbstractContextManager[Session]], key: int, strongest: "StrongestExamples"
) -> None:
    """Stores them, in transactions that others need not wait long for."""
    with transaction() as session:
        query = select(SentenceRow.number, SentenceRow.details).where(SentenceRow.dictionary == key)
        rows = session.execute(query.order_by(SentenceRow.number).execution_options(yield_per=ROWS_A_TRANSACTION))
        found = find_topics(((number, details) for number, details in rows), strongest)
    n_features = np.bincount(found.topics, minlength=len(found.named)).tolist()
    topics = [
        {"number": place, "field": field, "value": value, "words": as_words(value), "n_features": n_features[place]}
        for place, (field, value) in enumerate(found.named)
    ]
    columns = (found.features, found.topics, found.n, found.of)
    names = ("feature", "topic", "n", "of")
    own = [dict(zip(names, row, strict=True)) for row in zip(*(each.tolist() for each in columns), strict=True)]
    for table, values in ((TopicRow, topics), (FeatureTopicRow, own)):
        for first in range(0, len(values), ROWS_A_TRANSACTION):
            some: list[dict[str, Any]] = [
                {"dictionary": key, **row} for row in values[first : first + ROWS_A_TRANSACTION]
            ]
            with transaction() as session:
                session.execute(insert(table), some)


def find_topics(sentences: Iterable[tuple[int, Mapping[str, Any]]], strongest: "StrongestExamples") -> Topics:
    """sentences: number and metadata of each, ascending. Of equally frequent values the rarer in the corpus is it."""
    known, columns, n_sentences = _codes(sentences)
    features = strongest.features.astype(np.int64)
    n_features = int(features.max(initial=-1)) + 1
    of = np.bincount(features, minlength=n_features)
    pairs, counts, bases = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    n_codes = max(len(known), 1)
    for codes in columns.values():
        totals = np.bincount(codes[codes >= 0], minlength=n_codes)
        there = codes[np.minimum(strongest.sentences, len(codes) - 1)]
        keys, n = np.unique((features * n_codes + there)[there >= 0], return_counts=True)
        base = totals[keys % n_codes] / max(n_sentences, 1)
        own = of[keys // n_codes]
        telling = (n > 1) & (n >= SHARE * own) & (n >= LIFT * base * own)
        pairs.append(keys[telling])
        counts.append(n[telling])
        bases.append(base[telling])
    keys, n, base = np.concatenate(pairs), np.concatenate(counts), np.concatenate(bases)
    feature, code = keys // n_codes, keys % n_codes
    order = np.lexsort((code, base, -n, feature))
    best = order[np.flatnonzero(np.diff(feature[order], prepend=-1))]
    used, topics = np.unique(code[best], return_inverse=True)
    names = list(known)
    return Topics([names[place] for place in used.tolist()], feature[best], topics, n[best], of[feature[best]])


def _codes(
    sentences: Iterable[tuple[int, Mapping[str, Any]]],
) -> tuple[dict[tuple[str, str], int], dict[str, NDArray[np.int32]], int]:
    """A number for each field and value; of each field, by a sentence's number, the number of its value, -1 where it
    has none; and how many sentences there are."""
    known: dict[tuple[str, str], int] = {}
    places: dict[str, array[int]] = {}
    end = n = 0
    for number, details in sentences:
        n, end = n + 1, number + 1
        for field, value in details.items():
            if not isinstance(value, str) or not value or len(value) > LONGEST:
                continue
            if field not in places:
                if len(places) == MOST_FIELDS:
                    continue
                places[field] = array("i")
            own = places[field]
            own.extend(-1 for _ in range(number - len(own)))
            own.append(known.setdefault((field, value), len(known)))
    columns = {}
    for field, own in places.items():
        columns[field] = np.full(end, -1, np.int32)
        columns[field][: len(own)] = own
    return known, columns, n
