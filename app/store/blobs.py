"""How spans, activations and statistics are kept small, and how they come back."""

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, islice
from math import isnan
from struct import Struct, calcsize, unpack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain import (
    FIRINGS,
    HISTOGRAM_BINS,
    INTERVALS,
    QUANTILES,
    TELLING,
    Histogram,
    Interval,
    MetadataShare,
    Neighbor,
    Quantile,
    TokenLogit,
    TokenShare,
    tellingness,
)

STATISTICS_VERSION = 3
_DEFLATED = 0x78  # how statistics of version 0 begin, which were deflated JSON
_QUANTILES = Struct(f"<{len(QUANTILES)}f")


def pack_lengths(lengths: Iterable[int]) -> bytes:
    """The lengths of spans that follow one another from 0 on, in LEB128: mostly a byte a token."""
    packed = bytearray()
    for length in lengths:
        while length > 0x7F:
            packed.append(length & 0x7F | 0x80)
            length >>= 7
        packed.append(length)
    return bytes(packed)


def unpack_ends(packed: bytes) -> list[int]:
    """Where the spans end: each begins where the one before it ends, the first at 0."""
    if packed.isascii():  # every length is one byte
        return list(accumulate(packed))
    lengths: list[int] = []
    length = shift = 0
    for byte in packed:
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            lengths.append(length)
            length = shift = 0
    return list(accumulate(lengths))


def unpack_ascending(packed: bytes) -> list[int]:
    """Ascending numbers, of which pack_lengths packed the first and the steps."""
    return unpack_ends(packed)


def unpack_ascending_each(packed: Sequence[bytes]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The numbers of several at once, one after the other, and how many each has: for thousands of them."""
    data = np.frombuffer(b"".join(packed), np.uint8)
    lasts = np.flatnonzero(data < 0x80)  # the last byte of each step
    firsts = np.concatenate(([0], lasts[:-1] + 1)) if len(lasts) else lasts
    steps = np.zeros(len(lasts), np.int64)
    for place in range(int((lasts - firsts).max(initial=-1)) + 1):
        at = firsts + place
        has = at <= lasts
        steps[has] += (data[at[has]].astype(np.int64) & 0x7F) << (7 * place)
    ends = np.cumsum([len(some) for some in packed], dtype=np.int64)
    until = np.searchsorted(lasts, ends)
    n_each = np.diff(until, prepend=0)
    sums = np.concatenate(([0], np.cumsum(steps)))
    return sums[1:] - np.repeat(sums[until - n_each], n_each), n_each


def from_planes(data: bytes, begin: int, n: int, kind: str, first: int, last: int) -> tuple[Any, ...]:
    """Numbers first to last - 1 of n that begin at a byte of data as planes: the lowest byte of all, the next of all,
    and so on, little-endian, which deflates better than numbers whole. kind: of struct.
    """
    width = calcsize(kind)
    return unpack(f"<{last - first}{kind}", _whole(data, begin, n, width, first, last))


def _whole(data: bytes, begin: int, n: int, width: int, first: int, last: int) -> bytearray:
    numbers = bytearray(width * (last - first))
    for byte in range(width):
        at = begin + byte * n
        numbers[byte::width] = data[at + first : at + last]
    return numbers


def unpack_top_tokens(packed: str, n_active_tokens: int) -> list[TokenShare]:
    """Token, id, count and, where the index has it, how often the token stands in the corpus."""
    return [TokenShare(token, id, n, n / n_active_tokens, *total) for token, id, n, *total in json.loads(packed)]


def unpack_telling_tokens(packed: str, n_active_tokens: int) -> list[TokenShare]:
    """Those that domain.telling_tokens would choose of all: a page names many features by three tokens of ten each."""
    rows = sorted(json.loads(packed), key=lambda row: tellingness(*row[2:]), reverse=True)
    return [TokenShare(token, id, n, n / n_active_tokens, *total) for token, id, n, *total in rows[:TELLING]]


def unpack_statistics(
    found: "Statistics", max_activation: float, n_sentences: int, neighbors: Sequence[Sequence[Neighbor]]
) -> dict[str, Any]:
    """What stands in no column of a feature's own. n_sentences: where it fires."""
    similar, opposite, coactive = neighbors
    return {
        "histogram": Histogram(_widths(max_activation, len(found.histogram)), found.histogram),
        "quantiles": found.quantiles,
        "intervals": _intervals(max_activation, found.intervals),
        "n_first": found.n_first,
        "n_last": found.n_last,
        "per_sentence": found.per_sentence,
        "metadata": [MetadataShare(field, value, n, n / n_sentences, base) for field, value, n, base in found.metadata],
        "decoder_norm": found.norm,
        "encoder_cosine": found.encoder_cosine,
        "promoted": [TokenLogit(*logit) for logit in found.promoted],
        "suppressed": [TokenLogit(*logit) for logit in found.suppressed],
        "similar": similar,
        "opposite": opposite,
        "coactive": coactive,
    }


def unpack_quantiles(packed: bytes) -> list[Quantile]:
    """Without unpacking the rest: all features' are read at once."""
    if packed[0] == _DEFLATED or packed[0] < 3:
        return read_statistics(packed).quantiles
    return _quantiles(_QUANTILES.unpack_from(packed, 4))


@dataclass(frozen=True)
class Statistics:
    """intervals: (tokens, sentences) each; promoted, suppressed: (token, id, logit); neighbors: (index, value)."""

    histogram: list[int]
    quantiles: list[Quantile]
    intervals: list[tuple[int, int]]
    norm: float
    promoted: list[tuple[str, int, float]]
    suppressed: list[tuple[str, int, float]]
    neighbors: list[list[tuple[int, float]]]
    n_first: int | None = None
    n_last: int | None = None
    per_sentence: Sequence[int] = ()
    metadata: Sequence[tuple[str, str, int, float]] = ()
    encoder_cosine: float | None = None


def read_statistics(packed: bytes) -> Statistics:
    """A version byte, three lengths, numbers as packing.FeatureBlock lays them out, and JSON: the tokens' texts.

    Since version 2, that and the metadata of its sentences. Since version 3 the quantiles come first, and the rest is
    deflated, its numbers as planes (see from_planes).
    """
    if packed[0] == _DEFLATED:
        return _read_version_0(packed)
    version, n_logits, n_similar, n_coactive = packed[:4]
    layout = _layout(version, n_logits, n_similar, n_coactive)
    if version < 3:
        numbers, words = layout.unpack_from(packed, 4), json.loads(packed[4 + layout.size :])
    else:
        data = zlib.decompress(packed[4 + _QUANTILES.size :], -zlib.MAX_WBITS)
        n = layout.size // 4
        after = layout.unpack(_whole(data, 0, n, 4, 0, n))
        numbers = (*after[:HISTOGRAM_BINS], *_QUANTILES.unpack_from(packed, 4), *after[HISTOGRAM_BINS:])
        words = json.loads(data[layout.size :])
    values = iter(numbers)

    def take(n: int) -> list[Any]:
        return list(islice(values, n))

    histogram, quantiles, tokens, sentences = (take(n) for n in (HISTOGRAM_BINS, len(QUANTILES), INTERVALS, INTERVALS))
    (norm,) = take(1)
    ids, logits = (take(2 * n_logits), take(2 * n_logits))
    similar, cosines = (take(2 * n_similar), take(2 * n_similar))
    coactive, jaccard = (take(n_coactive), take(n_coactive))
    texts, metadata = words if version >= 2 else (words, [])
    n_first, n_last, *per_sentence, cosine = take(2 + len(FIRINGS) + 1) or [None] * 3
    named = [(text, id, _short(logit)) for text, id, logit in zip(texts, ids, logits, strict=True)]
    alike = [(index, _short(cosine)) for index, cosine in zip(similar, cosines, strict=True)]
    together = [(index, _short(share)) for index, share in zip(coactive, jaccard, strict=True) if share > 0]
    fired = quantiles[-1] > 0
    return Statistics(
        histogram=histogram if fired else [],
        quantiles=_quantiles(quantiles),
        intervals=list(zip(tokens, sentences, strict=True)) if fired else [],
        norm=_short(norm),
        promoted=named[:n_logits],
        suppressed=named[n_logits:],
        neighbors=[alike[:n_similar], alike[n_similar:], together],
        n_first=n_first,
        n_last=n_last,
        per_sentence=per_sentence if fired else [],
        metadata=metadata,
        encoder_cosine=None if cosine is None or isnan(cosine) else _short(cosine),
    )


def _quantiles(values: Sequence[float]) -> list[Quantile]:
    """None of a feature that never fired."""
    if not values[-1] > 0:
        return []
    return [Quantile(share, _short(q)) for share, q in zip(QUANTILES, values, strict=True)]


@cache
def _layout(version: int, n_logits: int, n_similar: int, n_coactive: int) -> Struct:
    quantiles = f"{len(QUANTILES)}f" if version < 3 else ""
    statistics = f"{HISTOGRAM_BINS}I{quantiles}{2 * INTERVALS}If"
    neighbors = f"{2 * n_similar}I{2 * n_similar}f{n_coactive}I{n_coactive}f"
    surroundings = f"{2 + len(FIRINGS)}If" if version >= 2 else ""
    return Struct(f"<{statistics}{2 * n_logits}I{2 * n_logits}f{neighbors}{surroundings}")


def _read_version_0(packed: bytes) -> Statistics:
    histogram, quantiles, intervals, norm, (promoted, suppressed), neighbors = json.loads(zlib.decompress(packed))
    return Statistics(
        histogram, [Quantile(*quantile) for quantile in quantiles], intervals, norm, promoted, suppressed, neighbors
    )


def _intervals(top: float, counts: Sequence[tuple[int, int]]) -> list[Interval]:
    edges = _widths(top, len(counts))
    return [
        Interval(low, high, n_tokens, n_sentences)
        for low, high, (n_tokens, n_sentences) in zip(edges, edges[1:], counts, strict=False)
    ]


def _widths(top: float, n: int) -> list[float]:
    """The n + 1 edges of n equal widths of (0, top]; none where nothing is counted."""
    return [step * top / n for step in range(n + 1)] if n else []


def _short(value: float) -> float:
    """Six significant digits: more than any page shows, and no more than float32 holds."""
    return float(f"{value:.6g}")
