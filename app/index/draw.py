"""The order in which sentences are drawn for samples: fixed by the seed, another one for each feature.

A sentence's key for a feature is (mix(seed, sentence) + mix(seed, feature)) mod 2^64, and the smallest keys are drawn.
So one global order of the sentences serves all features: each enters it at its own place and walks on, around the end.
The draw depends on numbers alone, never on batches, shards or the machine.
"""

import numpy as np
from numpy.typing import NDArray

UInt64 = NDArray[np.uint64]
_SENTENCES, _FEATURES = 1, 2  # which of the two mixes


def mix(seed: int, kind: int, numbers: NDArray[np.int64]) -> UInt64:
    """splitmix64 (Steele, Lea, Flood 2014) of number, seed and kind."""
    with np.errstate(over="ignore"):
        start = np.uint64(seed % 2**64) * np.uint64(0xD1342543DE82EF95) + np.uint64(kind) * np.uint64(
            0x2545F4914F6CDD1D
        )
        z = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + start
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: UInt64 = z ^ (z >> np.uint64(31))
    return mixed


class DrawOrder:
    """order: (n,) sentences by ascending key; place: (n,) where each stands in it."""

    def __init__(self, seed: int, n_sentences: int, n_features: int) -> None:
        self.keys = mix(seed, _SENTENCES, np.arange(n_sentences))
        self.order = np.argsort(self.keys, kind="stable")
        self.place = np.empty(n_sentences, np.int64)
        self.place[self.order] = np.arange(n_sentences)
        self._offsets = mix(seed, _FEATURES, np.arange(n_features))

    def entry(self, feature: int) -> int:
        """The place at which a feature's draw enters the order: the first sentence whose sum wraps past 2^64."""
        wraps_from = (2**64 - int(self._offsets[feature])) % 2**64
        return int(np.searchsorted(self.keys[self.order], np.uint64(wraps_from))) % max(len(self.order), 1)

    def first(self, feature: int, sentences: NDArray[np.int64], n: int) -> NDArray[np.int64]:
        """The n of these sentences that are drawn first for the feature, in the order of the draw."""
        with np.errstate(over="ignore"):
            keys = self.keys[sentences] + self._offsets[feature]
        return sentences[np.argsort(keys, kind="stable")[:n]]
