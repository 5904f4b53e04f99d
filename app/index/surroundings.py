"""Where features fire: at the ends of sentences, how often in one, on what share of a token, under which metadata."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.domain import FIRINGS
from app.index.recorded import Firings, Recording
from app.index.recording import Int64
from app.index.statistics import Runs, rank_in_group

METADATA_VALUES = 5  # of one field that are kept for a feature
MOST_FIELDS = 8
MOST_VALUES = 1000  # a field with more different values numbers its sentences rather than sorting them


@dataclass(frozen=True)
class Field:
    """A field of the sentences' metadata. codes: (n_windows,) places in values, -1 where a sentence has none.

    shares: of all sentences, which have each value.
    """

    name: str
    values: Sequence[str]
    codes: NDArray[np.int32]
    shares: NDArray[np.float64]


@dataclass(frozen=True)
class Corpus:
    """What firings are held against. token_totals: by token id, how often it stands in the corpus."""

    token_totals: Int64
    fields: Sequence[Field]


@dataclass(frozen=True)
class Surroundings:
    """Of n features. n_first, n_last: firings at a sentence's first and last token.

    per_sentence: (n, len(FIRINGS)) sentences by how often it fires there
    values, counts: (n, n_fields, METADATA_VALUES) the most frequent values of each field over the sentences where it
    fires, the lower code first among equals; count 0: no more
    """

    n_first: Int64
    n_last: Int64
    per_sentence: Int64
    values: Int64
    counts: Int64


def describe_corpus(recording: Recording) -> Corpus:
    totals = np.zeros(0, np.int64)
    for chunk in recording.chunks:
        counts = np.bincount(chunk.token_ids[recording.kept_rows(chunk)])
        if len(counts) > len(totals):
            totals = np.pad(totals, (0, len(counts) - len(totals)))
        totals[: len(counts)] += counts
    return Corpus(totals, _fields(recording))


def surround(recording: Recording, corpus: Corpus, firings: Firings, runs: Runs) -> Surroundings:
    n = firings.n_features
    first = firings.positions == 0
    last = firings.positions + np.uint32(1) == recording.window_tokens[firings.windows]
    lengths = np.searchsorted(FIRINGS, np.diff(runs.begins), side="right") - 1
    per_sentence = np.bincount(runs.features * np.int64(len(FIRINGS)) + lengths, minlength=n * len(FIRINGS))
    shape = (n, len(corpus.fields), METADATA_VALUES)
    values, counts = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for place, field in enumerate(corpus.fields):
        values[:, place], counts[:, place] = _most_frequent(n, runs, field)
    return Surroundings(
        n_first=_by_feature(first, firings),
        n_last=_by_feature(last, firings),
        per_sentence=per_sentence.reshape(n, len(FIRINGS)),
        values=values,
        counts=counts,
    )


def _by_feature(there: NDArray[np.bool_], firings: Firings) -> Int64:
    """(n,): of how many of each feature's firings it is true."""
    return np.diff(np.searchsorted(np.flatnonzero(there), firings.bounds))


def _most_frequent(n: int, runs: Runs, field: Field) -> tuple[Int64, Int64]:
    """(n, METADATA_VALUES) codes and counts over the sentences in which each feature fires."""
    codes = field.codes[runs.windows]
    there = codes >= 0
    keys, found = np.unique(runs.features[there] * np.int64(MOST_VALUES) + codes[there], return_counts=True)
    of_feature = keys // MOST_VALUES
    order = np.lexsort((-found, of_feature))
    rank = rank_in_group(of_feature[order])
    order, rank = order[rank < METADATA_VALUES], rank[rank < METADATA_VALUES]
    values, counts = np.zeros((n, METADATA_VALUES), np.int64), np.zeros((n, METADATA_VALUES), np.int64)
    values[of_feature[order], rank] = keys[order] % MOST_VALUES
    counts[of_feature[order], rank] = found[order]
    return values, counts


def _fields(recording: Recording) -> list[Field]:
    """Fields of words and yes-or-no; one with too many values, or a value of its own for each sentence, is left out."""
    codes: dict[str, NDArray[np.int32]] = {}
    known: dict[str, dict[str, int]] = {}
    dropped: set[str] = set()
    for number, sentence in enumerate(recording.sentence_values(range(recording.n_windows))):
        for name, value in sentence.metadata.items():
            if name in dropped or not isinstance(value, str | bool) or value == "":
                continue
            if name not in codes:
                codes[name], known[name] = np.full(recording.n_windows, -1, np.int32), {}
            codes[name][number] = known[name].setdefault(str(value), len(known[name]))
            if len(known[name]) > MOST_VALUES:
                dropped.add(name)
                del codes[name], known[name]
    counted = recording.counted_windows
    found = []
    for name, places in codes.items():
        there = counted & (places >= 0)
        totals = np.bincount(places[there], minlength=len(known[name]))
        if len(known[name]) < there.sum():
            found.append(Field(name, list(known[name]), places, totals / counted.sum()))
    return found[:MOST_FIELDS]
