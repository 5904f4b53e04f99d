"""What a reduction gives, from plain lists: every number of every feature by looping over all tokens."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.domain import QUANTILES, Group
from app.index.draw import DrawOrder

N_TOP, N_SAMPLE, N_TOKENS, N_NEIGHBORS = 20, 5, 10, 10


@dataclass(frozen=True)
class Line:
    """A window. ids: None for a masked token; acts[t][f]: the activation of feature f at token t."""

    text: int
    ids: list[int | None]
    acts: list[list[float]]


@dataclass(frozen=True)
class Shown:
    sentence: int
    peak: int
    firings: list[tuple[int, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    """One feature."""

    values: list[float]
    peaks: dict[int, float]
    top_tokens: list[tuple[int, int]]
    histogram: list[int]
    quantiles: list[float]
    interval_tokens: list[int]
    interval_sentences: list[int]
    examples: dict[Group, list[Shown]]


def find(lines: Sequence[Line], feature: int, order: DrawOrder, drop_repeats: bool) -> Found:
    originals = [n for n, line in enumerate(lines) if line.text not in {other.text for other in lines[:n]}]
    counted = originals if drop_repeats else list(range(len(lines)))
    fires = {
        n: [(t, acts[feature]) for t, acts in enumerate(lines[n].acts) if acts[feature] > 0]
        for n in counted
        if any(acts[feature] > 0 for acts in lines[n].acts)
    }
    values = sorted(value for firings in fires.values() for _, value in firings)
    peaks = {n: max(value for _, value in firings) for n, firings in fires.items()}
    tokens = Counter(lines[n].ids[t] for n, firings in fires.items() for t, _ in firings)
    top_tokens = sorted(tokens.items(), key=lambda item: (-item[1], item[0]))[:N_TOKENS]
    favourite = top_tokens[0][0] if top_tokens else None
    top = max(values, default=0.0)

    def key(n: int) -> tuple[int, int]:
        return (int(order.keys[n]) + int(order.offsets[feature])) % 2**32, n

    def shown(numbers: Sequence[int]) -> list[Shown]:
        return [Shown(n, next(t for t, value in fires[n] if value == peaks[n]), fires[n]) for n in numbers]

    strongest = sorted((n for n in peaks if n in originals), key=lambda n: (-peaks[n], n))[:N_TOP]
    examples = {Group.TOP: shown(strongest)}
    for j in range(5):
        inside = [n for n in peaks if n in originals and width(peaks[n], top, 5) == j]
        examples[Group(f"interval-{j + 1}")] = shown(sorted(inside, key=key)[:N_SAMPLE])
    silent = sorted((n for n in originals if n not in peaks), key=key)
    examples[Group.SILENT] = [Shown(n, -1) for n in silent[:N_SAMPLE]]
    holding = [n for n in silent if favourite is not None and favourite in lines[n].ids]
    examples[Group.CONTRAST] = [Shown(n, lines[n].ids.index(favourite)) for n in holding[:N_SAMPLE]]
    return Found(
        values=values,
        peaks=peaks,
        top_tokens=top_tokens,
        histogram=counts([width(value, top, 20) for value in values], 20),
        quantiles=[values[max(0, math.ceil(share * len(values) - 1e-9) - 1)] for share in QUANTILES] if values else [],
        interval_tokens=counts([width(value, top, 5) for value in values], 5),
        interval_sentences=counts([width(peak, top, 5) for peak in peaks.values()], 5),
        examples=examples,
    )


def coactive(found: Sequence[Found], feature: int) -> list[tuple[int, float]]:
    here = set(found[feature].peaks)
    shares = {}
    for other, there in enumerate(found):
        if other != feature and here & set(there.peaks):
            shares[other] = len(here & set(there.peaks)) / len(here | set(there.peaks))
    return sorted(shares.items(), key=lambda item: (-item[1], item[0]))[:N_NEIGHBORS]


def width(value: float, top: float, n: int) -> int:
    """Which of n equal widths of (0, top] holds the value."""
    return next(j for j in range(n) if value <= (j + 1) * top / n)


def counts(places: Sequence[int], n: int) -> list[int]:
    return [places.count(j) for j in range(n)]
