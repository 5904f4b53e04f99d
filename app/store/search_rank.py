"""Which of the features that a search found are likeliest meant.

In arrays: a common word stands in the examples of tens of thousands of features, and all are counted and ranked.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.store.blobs import unpack_ascending_each
from app.store.search_hits import KINDS, LABEL, METADATA, TEXT, TOKEN, FeatureKey, Found

Numbers: TypeAlias = NDArray[np.int64]
TOKEN_WORTH = 10  # examples with the words that firing on them counts for
_FEATURE_BITS = 32
_MOST_EXAMPLES = 255  # strongest examples of a feature
_MOST_STARS = 2**20 - 1
_MOST_EVIDENCE = 2**12 - 1


class Ways(NamedTuple):
    """Ways in which features were found, an entry each: see Found. of: the feature's build and index as one number."""

    kind: Numbers
    of: Numbers
    piece: Numbers
    stars: Numbers
    n_examples: Numbers
    where: Numbers


@dataclass(frozen=True)
class Ranked:
    """Every feature once, the likeliest meant first, by the best way in which it was found.

    ways: each the best of its feature, with all examples that it has with the words, or with them in their metadata.
    place: ascending; two features have different ones together with `of`.
    """

    ways: Ways
    place: Numbers

    def after(self, place: int, of: int) -> "Ranked":
        """Those behind a place."""
        behind = (self.place > place) | ((self.place == place) & (self.ways.of > of))
        return Ranked(chosen(self.ways, behind), self.place[behind])

    def first(self, n: int) -> list[Found]:
        rows = zip(*(column[:n].tolist() for column in self.ways), strict=True)
        return [Found(kind, _feature(of), *rest) for kind, of, *rest in rows]

    def builds(self) -> dict[int, int]:
        """How many features each build has."""
        keys, counts = np.unique(self.ways.of >> _FEATURE_BITS, return_counts=True)
        return dict(zip(keys.tolist(), counts.tolist(), strict=True))


def ways_of(found: Iterable[Found]) -> Ways:
    rows = [(f.kind, _number(f.feature), f.piece, f.stars, f.n_examples, f.where) for f in found]
    return Ways(*np.array(rows, np.int64).reshape(-1, len(Ways._fields)).T)


def ways_through_sentences(kind: int, key: int, piece: int, rows: Sequence[tuple[int, bytes]]) -> Ways:
    """Each feature once, with how many of the sentences show it, and the first of them.

    rows: places of searched sentences, and the features that show each (see blobs.unpack_ascending).
    """
    rows = sorted(rows)
    features, n_each = unpack_ascending_each([packed for _, packed in rows])
    places = np.repeat(np.array([place for place, _ in rows], np.int64), n_each)
    shown, first, n_examples = np.unique(features, return_index=True, return_counts=True)
    same = np.ones(len(shown), np.int64)
    of = (key << _FEATURE_BITS) + shown
    return Ways(kind * same, of, piece * same, 0 * same, n_examples.astype(np.int64), places[first])


def joined(every: Sequence[Ways]) -> Ways:
    return Ways(*(np.concatenate(columns) for columns in zip(*every, strict=True)))


def chosen(ways: Ways, which: NDArray[Any]) -> Ways:
    """which: their places, or for each whether it is one."""
    return Ways(*(column[which] for column in ways))


def count_kinds(ways: Ways) -> dict[str, int]:
    """How many features were found in each way that any was."""
    counts = {name: len(np.unique(ways.of[ways.kind == kind])) for kind, name in enumerate(KINDS)}
    return {name: n for name, n in counts.items() if n}


def rank(ways: Ways) -> Ranked:
    """Labels first, whole words before pieces of words, more stars, then what most examples speak for.

    Examples with the words and examples whose metadata has them are added up: a feature of tennis shows texts about
    tennis, whether or not they say so. To fire on the word itself counts as much as some examples more.
    """
    features, number = np.unique(ways.of, return_inverse=True)
    worth = ways.n_examples + TOKEN_WORTH * ((ways.kind == TOKEN) & (ways.piece == 0))
    evidence = np.bincount(number, weights=worth, minlength=len(features)).astype(np.int64)
    merit = (((ways.kind != LABEL) * 2 + ways.piece) << 20) + (_MOST_STARS - np.minimum(ways.stars, _MOST_STARS))
    # Of a feature's equally good ways the token is told, else what more examples have.
    told = (ways.kind != TOKEN) * (_MOST_EXAMPLES + 1) + _MOST_EXAMPLES - np.minimum(ways.n_examples, _MOST_EXAMPLES)
    order = np.lexsort((told, merit, number))
    best = order[np.searchsorted(number[order], np.arange(len(features)))]
    place = (merit[best] << 12) + (_MOST_EVIDENCE - np.minimum(evidence, _MOST_EVIDENCE))
    texts = np.bincount(number, weights=ways.n_examples * (ways.kind == TEXT), minlength=len(features))
    told_ways = chosen(ways, best)
    n_examples = np.where(told_ways.kind == METADATA, told_ways.n_examples, texts.astype(np.int64))
    ranking = np.argsort(place, kind="stable")
    return Ranked(chosen(told_ways._replace(n_examples=n_examples), ranking), place[ranking])


def _number(feature: FeatureKey) -> int:
    return (feature[0] << _FEATURE_BITS) + feature[1]


def _feature(number: int) -> FeatureKey:
    return number >> _FEATURE_BITS, number & (2**_FEATURE_BITS - 1)
