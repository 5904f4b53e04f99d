"""Charts, laid out here and drawn as SVG by components/chart.html: no script, every bar with its numbers in words."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain import Histogram
from app.pages.filters import count, number

WIDTH, HEIGHT = 320, 96
GAP = 1.5
LEAST = 1.5  # units of height of a bar that is not empty


@dataclass(frozen=True)
class Bar:
    """A place in the chart's units; `text` says range and count."""

    x: float
    y: float
    width: float
    height: float
    text: str


@dataclass(frozen=True)
class Tick:
    x: float
    text: str


@dataclass(frozen=True)
class Chart:
    """What it is over stands in its description; ticks are below the bars, `most` is the count of the highest."""

    title: str
    description: str
    bars: Sequence[Bar]
    ticks: Sequence[Tick]
    most: int
    width: int = WIDTH
    height: int = HEIGHT


def activation_chart(histogram: Histogram, n_active_tokens: int) -> Chart | None:
    """How strong a feature is where it is active; None for one that never fired."""
    if not histogram.counts:
        return None
    words = [
        f"{number(low)} to {number(high)}: {count(n)} tokens"
        for low, high, n in zip(histogram.edges, histogram.edges[1:], histogram.counts, strict=False)
    ]
    top = histogram.edges[-1]
    ticks = [Tick(WIDTH * part / 4, number(top * part / 4)) for part in range(5)]
    return Chart(
        "Activations",
        f"How many of the {count(n_active_tokens)} active tokens have which activation, from 0 to {number(top)}.",
        _bars(histogram.counts, words),
        ticks,
        max(histogram.counts),
    )


def density_chart(histogram: Histogram) -> Chart | None:
    """How many features fire how often, over log10 of density; None where none fires."""
    if not any(histogram.counts):
        return None
    first = next(i for i, n in enumerate(histogram.counts) if n)
    edges, counts = histogram.edges[first:], histogram.counts[first:]
    words = [
        f"density {_power(low)} to {_power(high)}: {count(n)} features"
        for low, high, n in zip(edges, edges[1:], counts, strict=False)
    ]
    span = edges[-1] - edges[0]
    whole = [edge for edge in edges if abs(edge - round(edge)) < 1e-9]
    ticks = [Tick(WIDTH * (edge - edges[0]) / span, _power(edge)) for edge in whole]
    return Chart(
        "Density of features",
        f"How many of the {count(sum(counts))} features that fire do so on which share of the tokens, on a log scale.",
        _bars(counts, words),
        ticks,
        max(counts),
    )


def _power(exponent: float) -> str:
    percent = 100 * 10**exponent
    return f"{percent:.3g}\u202f%"


def _bars(counts: Sequence[int], words: Sequence[str]) -> list[Bar]:
    most = max(counts)
    step = WIDTH / len(counts)
    bars = []
    for i, (n, text) in enumerate(zip(counts, words, strict=True)):
        height = max(LEAST, HEIGHT * n / most) if n else 0.0
        bars.append(Bar(round(i * step + GAP / 2, 2), round(HEIGHT - height, 2), round(step - GAP, 2), height, text))
    return bars
