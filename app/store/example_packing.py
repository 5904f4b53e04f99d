"""Examples made into blobs by the block, from arrays. What they hold stands in example_blobs.py."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain import Group
from app.store.example_blobs import EXAMPLES_VERSION, NO_PEAK, SMALLEST_SCALE, TOP_OF_EXAMPLE

Ints = NDArray[np.integer]
_FAST = 1  # zlib's level: higher ones save two bytes of a hundred


@dataclass(frozen=True)
class ExampleBlock:
    """Examples in the order of features, groups and ranks (which count from 0 without gaps), all (n,).

    groups: places in domain.Group; peaks: token positions, -1 where there is none; lengths: how many firings each has.
    positions: ascend within an example; values: above 0; of all firings, one example's after another's.
    """

    features: Ints
    groups: Ints
    ranks: Ints
    sentences: Ints
    peaks: Ints
    lengths: Ints
    positions: Ints
    values: NDArray[np.float32]

    def rows(self) -> Iterator[tuple[int, bytes]]:
        """Feature and packed examples."""
        if len(self.features) == 0:
            return
        lengths, fires = self.lengths, self.lengths > 0
        steps, scales, halves = self._firings()
        peaks = np.where(self.peaks < 0, NO_PEAK, self.peaks)[~fires]
        begins = np.flatnonzero(np.concatenate([[True], self.features[1:] != self.features[:-1]]))
        bounds = np.append(begins, len(self.features))
        fires_before = np.concatenate([[0], np.cumsum(fires)])[bounds]
        firings_before = np.concatenate([[0], np.cumsum(lengths)])[bounds]
        of_feature = np.repeat(np.arange(len(begins)), np.diff(bounds))
        counts = np.bincount(of_feature * len(Group) + self.groups, minlength=len(begins) * len(Group))
        counts = counts.reshape(-1, len(Group)).astype(np.uint8)
        arrays = (
            (_bytes(self.sentences, "<u4"), bounds.tolist()),
            (_bytes(lengths, "<u2"), bounds.tolist()),
            (_bytes(peaks, "<u2"), (bounds - fires_before).tolist()),
            (_bytes(scales, "<f4"), fires_before.tolist()),
            (_bytes(steps, "<u2"), firings_before.tolist()),
            (_bytes(halves, "<f2"), firings_before.tolist()),
        )
        for i, feature in enumerate(self.features[begins].tolist()):
            planes = [array[bound[i] : bound[i + 1]].T.tobytes() for array, bound in arrays]
            raw = b"".join([counts[i].tobytes(), *planes])
            yield feature, bytes([EXAMPLES_VERSION]) + zlib.compress(raw, _FAST, -zlib.MAX_WBITS)

    def _firings(self) -> tuple[Ints, NDArray[np.float32], Any]:
        """Steps, scales and scaled values."""
        fires = self.lengths > 0
        lengths = self.lengths[fires]
        firsts = np.cumsum(lengths) - lengths
        positions = self.positions.astype(np.int64)
        steps = np.diff(positions, prepend=0)
        steps[firsts] = positions[firsts]
        tops = np.maximum.reduceat(self.values, firsts) if len(firsts) else np.zeros(0, np.float32)
        scales = np.maximum(tops / np.float32(TOP_OF_EXAMPLE), np.float32(SMALLEST_SCALE))
        halves = (self.values / np.repeat(scales, lengths)).astype("<f2")
        halves[positions == np.repeat(self.peaks[fires], lengths)] *= -1
        return steps, scales, halves

    def strongest(self) -> "StrongestExamples":
        """Of the first group, which is the strongest."""
        top = self.groups == 0
        return StrongestExamples(
            self.sentences[top].astype(np.uint32),
            self.features[top].astype(np.uint32),
            self.ranks[top].astype(np.uint16),
        )


@dataclass(frozen=True)
class StrongestExamples:
    """Which sentences are among the strongest examples of which features, and at which rank; all (n,)."""

    sentences: Ints
    features: Ints
    ranks: Ints

    @classmethod
    def of(cls, found: Sequence[tuple[int, int, int]]) -> "StrongestExamples":
        """found: sentence, feature and rank of each."""
        columns = np.array(found, np.int64).reshape(-1, 3)
        return cls(columns[:, 0], columns[:, 1], columns[:, 2])

    def by_sentence(self) -> Iterator[tuple[int, bytes]]:
        """Each sentence with its features (see blobs.unpack_ascending): by its best rank, then by number."""
        if len(self.sentences) == 0:
            return iter(())
        order = np.lexsort((self.features, self.sentences))
        sentences = self.sentences[order]
        begins = np.flatnonzero(np.concatenate([[True], sentences[1:] != sentences[:-1]]))
        numbers = sentences[begins]
        best = np.minimum.reduceat(self.ranks[order], begins)
        features = self.features[order].astype(np.int64)
        steps = np.diff(features, prepend=0)
        steps[begins] = features[begins]
        packed, ends = _packed_lengths(steps)
        bounds = np.concatenate([[0], ends])[np.append(begins, len(order))]
        # Not a generator, which would hold all of the above while its millions are stored.
        ranked = np.lexsort((numbers, best)).tolist()
        return ((int(numbers[i]), packed[bounds[i] : bounds[i + 1]]) for i in ranked)


def joined(parts: Sequence[StrongestExamples]) -> StrongestExamples:
    """All of them, in numbers as short as theirs: there are twenty for each feature."""
    if not parts:
        return StrongestExamples.of([])
    columns = [(part.sentences, part.features, part.ranks) for part in parts]
    return StrongestExamples(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def first_peaks(values: NDArray[np.float32], positions: Ints, lengths: Ints) -> Ints:
    """(n,): the position of the largest of each example's firings, the first among equals. lengths: all above 0."""
    if len(lengths) == 0:
        return np.zeros(0, np.int64)
    firsts = np.cumsum(lengths) - lengths
    at_peak = np.flatnonzero(values == np.repeat(np.maximum.reduceat(values, firsts), lengths))
    peaks: Ints = positions[at_peak[np.searchsorted(at_peak, firsts)]].astype(np.int64)
    return peaks


def _packed_lengths(lengths: Ints) -> tuple[bytes, Ints]:
    """All of blobs.pack_lengths at once, and where each ends."""
    n_bytes = np.ones(len(lengths), np.int64)
    for bits in range(7, 35, 7):
        n_bytes += lengths >= 1 << bits
    ends = np.cumsum(n_bytes)
    packed = np.zeros(int(ends[-1]), np.uint8)
    for place in range(int(n_bytes.max())):
        there = n_bytes > place
        more = np.where(n_bytes[there] > place + 1, 0x80, 0)
        packed[(ends - n_bytes)[there] + place] = lengths[there] >> 7 * place & 0x7F | more
    return packed.tobytes(), ends


def _bytes(numbers: Any, kind: str) -> NDArray[np.uint8]:
    """(n, bytes of one), least significant first."""
    array = np.ascontiguousarray(numbers, dtype=kind)
    return array.view(np.uint8).reshape(len(array), array.itemsize)
