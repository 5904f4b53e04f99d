"""How spans, activations and statistics are kept small, and how they come back."""

import json
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from app.domain import Histogram, Interval, Neighbor, NewFeature, Quantile, TokenLogit, TokenShare, TokenSpan

# Values are scaled so that the largest of an example becomes 2^15: half floats keep three digits from there down to
# 2^-14, nine decimal orders below the peak, whatever the activations' own size.
_TOP = 2.0**15


def pack_spans(spans: Sequence[TokenSpan]) -> bytes:
    """Spans that follow one another from 0 on, as their lengths in LEB128: mostly a byte a token."""
    packed = bytearray()
    for span in spans:
        length = span.end - span.start
        while length > 0x7F:
            packed.append(length & 0x7F | 0x80)
            length >>= 7
        packed.append(length)
    return bytes(packed)


def unpack_spans(packed: bytes) -> list[TokenSpan]:
    spans: list[TokenSpan] = []
    start = length = shift = 0
    for byte in packed:
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            spans.append(TokenSpan(start, start + length))
            start, length, shift = start + length, 0, 0
    return spans


def pack_firings(positions: Sequence[int], values: Sequence[float]) -> bytes:
    """n values above 0 at n ascending token positions, as n (uint16), the steps between positions, scale and values.

    Steps are a byte each where all are below 256 (nearly always), else uint16, told apart by the length.
    """
    n = len(positions)
    if n == 0:
        return b""
    scale = max(values) / _TOP
    steps = [position - before for position, before in zip(positions, (0, *positions), strict=False)]
    kind = "B" if max(steps) < 256 else "H"
    return struct.pack(f"<H{n}{kind}f{n}e", n, *steps, scale, *(value / scale for value in values))


def unpack_firings(packed: bytes) -> tuple[tuple[int, ...], tuple[float, ...]]:
    if not packed:
        return (), ()
    n = int.from_bytes(packed[:2], "little")
    kind = "B" if len(packed) == 6 + 3 * n else "H"
    _, *numbers = struct.unpack(f"<H{n}{kind}f{n}e", packed)
    scale = numbers[n]
    return tuple(accumulate(numbers[:n])), tuple(value * scale for value in numbers[n + 1 :])


def pack_top_tokens(tokens: Iterable[TokenShare]) -> str:
    return _json([[token.token, token.token_id, token.n] for token in tokens])


def unpack_top_tokens(packed: str, n_active_tokens: int) -> list[TokenShare]:
    return [TokenShare(token, token_id, n, n / n_active_tokens) for token, token_id, n in json.loads(packed)]


def pack_statistics(feature: NewFeature) -> bytes:
    """Everything of a feature that no list sorts by, as one JSON array, deflated: it then fits a page beside others."""
    packed = _json(
        [
            list(feature.histogram.counts),
            [[q.share, _short(q.value)] for q in feature.quantiles],
            [[interval.n_tokens, interval.n_sentences] for interval in feature.intervals],
            _short(feature.decoder_norm),
            [_logits(feature.promoted), _logits(feature.suppressed)],
            [_neighbors(feature.similar), _neighbors(feature.opposite), _neighbors(feature.coactive)],
        ]
    )
    return zlib.compress(packed.encode(), 9)


def unpack_statistics(packed: bytes, max_activation: float, names: Mapping[int, str]) -> dict[str, Any]:
    """The fields of a NewFeature that `pack_statistics` kept. names: labels of neighbours, by feature index."""
    histogram, quantiles, intervals, norm, (promoted, suppressed), neighbors = json.loads(zlib.decompress(packed))
    similar, opposite, coactive = ([Neighbor(i, v, names.get(i)) for i, v in group] for group in neighbors)
    return {
        "histogram": Histogram(_widths(max_activation, len(histogram)), histogram),
        "quantiles": [Quantile(share, value) for share, value in quantiles],
        "intervals": _intervals(max_activation, intervals),
        "decoder_norm": norm,
        "promoted": [TokenLogit(*logit) for logit in promoted],
        "suppressed": [TokenLogit(*logit) for logit in suppressed],
        "similar": similar,
        "opposite": opposite,
        "coactive": coactive,
    }


def neighbor_indices(packed: bytes) -> set[int]:
    return {index for group in json.loads(zlib.decompress(packed))[5] for index, _ in group}


def unpack_quantiles(packed: bytes) -> list[Quantile]:
    return [Quantile(share, value) for share, value in json.loads(zlib.decompress(packed))[1]]


def _intervals(top: float, counts: Sequence[Sequence[int]]) -> list[Interval]:
    edges = _widths(top, len(counts))
    return [
        Interval(low, high, n_tokens, n_sentences)
        for low, high, (n_tokens, n_sentences) in zip(edges, edges[1:], counts, strict=False)
    ]


def _widths(top: float, n: int) -> list[float]:
    """The n + 1 edges of n equal widths of (0, top]; none where nothing is counted."""
    return [step * top / n for step in range(n + 1)] if n else []


def _logits(logits: Sequence[TokenLogit]) -> list[Any]:
    return [[logit.token, logit.token_id, _short(logit.logit)] for logit in logits]


def _neighbors(neighbors: Sequence[Neighbor]) -> list[Any]:
    return [[neighbor.index, _short(neighbor.value)] for neighbor in neighbors]


def _short(value: float) -> float:
    """Six significant digits: more than any page shows, and half the bytes."""
    return float(f"{value:.6g}")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
