"""The order in which sentences are drawn for samples: fixed by the seed, another one for each feature.

A sentence's key for a feature is (mix(seed, sentence) + mix(seed, feature)) mod 2^32, and the smallest keys are drawn,
the lower sentence first among equals. So one global order of the sentences serves all features: each enters it at its
own place and walks on, around the end. The draw depends on numbers alone, never on batches, shards or the machine.
"""

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
UInt32 = NDArray[np.uint32]
_SENTENCES, _FEATURES, _RECORDS = 1, 2, 3  # which of the mixes


def mix(seed: int, kind: int, numbers: Int64) -> UInt32:
    """The upper half of splitmix64 (Steele, Lea, Flood 2014) of number, seed and kind."""
    with np.errstate(over="ignore"):
        start = np.uint64(seed % 2**64) * np.uint64(0xD1342543DE82EF95) + np.uint64(kind) * np.uint64(
            0x2545F4914F6CDD1D
        )
        z = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + start
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: UInt32 = ((z ^ (z >> np.uint64(31))) >> np.uint64(32)).astype(np.uint32)
    return mixed


def record_is_sampled(seed: int, record: int, share: float) -> bool:
    """Whether a record is among the share (0 to 1) of the corpus that is read."""
    return int(mix(seed, _RECORDS, np.array([record]))[0]) < share * 2**32


class DrawOrder:
    """keys: (n_sentences,); order: sentences by ascending key; place: where each stands in it.

    offsets: (n_features,) what is added to a sentence's key; entries: the place at which a feature's draw begins.
    """

    def __init__(self, seed: int, n_sentences: int, n_features: int) -> None:
        self.keys = mix(seed, _SENTENCES, np.arange(n_sentences))
        self.order: Int64 = np.argsort(self.keys, kind="stable")
        self.place = np.empty(n_sentences, np.int64)
        self.place[self.order] = np.arange(n_sentences)
        self.offsets = mix(seed, _FEATURES, np.arange(n_features))
        # The first sentence whose sum wraps past 2^32.
        wraps_from = (np.uint64(2**32) - self.offsets) % np.uint64(2**32)
        entries = np.searchsorted(self.keys[self.order].astype(np.uint64), wraps_from)
        self.entries: Int64 = entries % max(n_sentences, 1)
