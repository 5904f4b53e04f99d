"""A feature's examples as one blob, read without unpacking more of it than is shown.

After a version byte comes deflated: how many examples each group has (a byte each), and six arrays over the examples,
group by group and rank by rank, each as planes (see blobs.from_planes):

- sentences (uint32) and lengths (uint16) of all: how many firings each has;
- peaks (uint16) of those without firings, NO_PEAK where there is none;
- scales (float32) of those with firings;
- steps (uint16) of all firings, each from the position of the one before, the first of an example from 0;
- values (half floats) of all firings in units of the scale. The peak's is negative: its sign is free.
"""

import zlib
from itertools import accumulate
from typing import NamedTuple

from app.domain import Group
from app.store.blobs import from_planes

EXAMPLES_VERSION = 1
NO_PEAK = 0xFFFF
# Values are scaled so that the largest of an example becomes 2^15: half floats keep three digits from there down to
# 2^-14, nine decimal orders below the peak, whatever the activations' own size.
TOP_OF_EXAMPLE = 2.0**15
SMALLEST_SCALE = 2.0**-126  # the smallest float32 that keeps all its digits


class PackedExample(NamedTuple):
    """peak: the position of the strongest token, or of the token that a contrast is about; None in silent ones.

    activations: by position, those above 0.
    """

    sentence: int
    peak: int | None
    activations: dict[int, float]


class PackedExamples:
    """All examples of a feature. counts: of each of domain.Group; sentences: of all examples, group by group."""

    def __init__(self, packed: bytes) -> None:
        assert packed[0] == EXAMPLES_VERSION, packed[0]
        self._data = data = zlib.decompress(packed[1:], -zlib.MAX_WBITS)
        self.counts = tuple(data[: len(Group)])
        n = sum(self.counts)
        at = len(Group)
        self.sentences: tuple[int, ...] = from_planes(data, at, n, "I", 0, n)
        self._lengths: tuple[int, ...] = from_planes(data, at + 4 * n, n, "H", 0, n)
        self._ends = list(accumulate(self._lengths, initial=0))
        self._n_firings = self._ends[-1]
        self._n_fires = n - self._lengths.count(0)
        self._peaks = at + 6 * n
        self._scales = self._peaks + 2 * (n - self._n_fires)
        self._steps = self._scales + 4 * self._n_fires
        self._values = self._steps + 2 * self._n_firings

    @property
    def is_whole(self) -> bool:
        """Whether the blob holds what its counts and lengths say, no less and no more: then no rank is missing."""
        return len(self._data) == self._values + 2 * self._n_firings

    @property
    def strongest(self) -> tuple[int, ...]:
        """The sentences of the first group, which is the strongest."""
        return self.sentences[: self.counts[0]]

    def first(self, group: int) -> int:
        """Which example is the first of a group."""
        return sum(self.counts[:group])

    def group_of(self, i: int) -> int:
        return next(group for group, end in enumerate(accumulate(self.counts)) if i < end)

    def example(self, i: int) -> PackedExample:
        return self.examples(i, i + 1)[0]

    def examples(self, first: int, last: int) -> list[PackedExample]:
        """From the first up to and without the last, read in one go."""
        lengths, begin, end = self._lengths[first:last], self._ends[first], self._ends[last]
        silent, n_silent = self._lengths[:first].count(0), lengths.count(0)
        fires, n_fires = first - silent, len(lengths) - n_silent
        n = len(self._lengths) - self._n_fires
        peaks = iter(from_planes(self._data, self._peaks, n, "H", silent, silent + n_silent) if n_silent else ())
        scales = iter(from_planes(self._data, self._scales, self._n_fires, "f", fires, fires + n_fires))
        steps = from_planes(self._data, self._steps, self._n_firings, "H", begin, end)
        values = from_planes(self._data, self._values, self._n_firings, "e", begin, end)
        found, at = [], 0
        for sentence, length in zip(self.sentences[first:last], lengths, strict=True):
            if not length:
                peak = next(peaks)
                found.append(PackedExample(sentence, None if peak == NO_PEAK else peak, {}))
                continue
            scale, until = next(scales), at + length
            positions, own = list(accumulate(steps[at:until])), values[at:until]
            activations = {position: abs(value) * scale for position, value in zip(positions, own, strict=True)}
            found.append(PackedExample(sentence, positions[own.index(min(own))], activations))
            at = until
        return found
