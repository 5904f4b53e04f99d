"""Charts, laid out here and drawn as SVG by components/chart.html: no script, every bar with its numbers in words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from app.domain import FIRINGS, Histogram
from app.pages.filters import count, number
from app.pages.list_form import ListForm

WIDTH, HEIGHT = 320, 80
GAP = 1.5
LEAST = 1.5  # units of height of a bar that is not empty


class Bar(NamedTuple):  # a tuple: a page makes dozens
    """A place in the chart's units. what, value: its range and its count in words; href: what it leads to, if anything.

    is_chosen: it lies in the range that a list is narrowed to.
    """

    x: float
    y: float
    width: float
    height: float
    what: str
    value: str
    href: str | None = None
    is_chosen: bool = False
    low: str = ""
    high: str = ""


class Tick(NamedTuple):
    x: float
    text: str


@dataclass(frozen=True)
class Chart:
    """What it is over stands in its description; ticks are below the bars, `most` is the count of the highest.

    of, counted: headings of its numbers as a table.
    """

    title: str
    description: str
    of: str
    counted: str
    bars: Sequence[Bar]
    ticks: Sequence[Tick]
    most: int
    are_ticks_centred: bool = False
    width: int = WIDTH
    height: int = HEIGHT


def activation_chart(histogram: Histogram, n_active_tokens: int, is_log: bool) -> Chart | None:
    """How strong a feature is where it is active; None for one that never fired. is_log: the heights."""
    if not histogram.counts:
        return None
    whats = [f"{low} to {high}" for low, high in pairwise([number(edge) for edge in histogram.edges])]
    top = histogram.edges[-1]
    scale = ", heights on a log scale" if is_log else ""
    return Chart(
        title="Activations",
        description=f"How many of the {count(n_active_tokens)} active tokens have which activation, "
        f"from 0 to {number(top)}{scale}.",
        of="Activation",
        counted="Tokens",
        bars=_bars(histogram.counts, whats, "tokens", is_log),
        ticks=[Tick(WIDTH * part / 4, number(top * part / 4)) for part in range(5)],
        most=max(histogram.counts),
    )


def sentence_chart(per_sentence: Sequence[int], n_active_sentences: int) -> Chart | None:
    """How often a feature fires in the sentences where it does; None where that is not known."""
    if not any(per_sentence):
        return None
    whats = [str(low) if high == low + 1 else f"{low} to {high - 1}" for low, high in _pairs(FIRINGS)]
    names = [*whats, f"{FIRINGS[-1]} or more"]
    step = WIDTH / len(names)
    return Chart(
        title="Firings a sentence",
        description=f"In how many of the {count(n_active_sentences)} sentences where it fires it does so how often.",
        of="Firings",
        counted="Sentences",
        bars=_bars(per_sentence, [f"{name} firing{'' if name == '1' else 's'}" for name in names], "sentences"),
        ticks=[
            Tick(step * (i + 0.5), name.replace(" to ", "–").replace(" or more", "+")) for i, name in enumerate(names)
        ],
        most=max(per_sentence),
        are_ticks_centred=True,
    )


def density_chart(histogram: Histogram, n_tokens: int, form: ListForm, path: str) -> Chart | None:
    """How many features fire how often, over log10 of density, each bar a link to them; None where none fires."""
    if not any(histogram.counts):
        return None
    first = next(i for i, n in enumerate(histogram.counts) if n)
    edges, counts = histogram.edges[first:], histogram.counts[first:]
    span = edges[-1] - edges[0]
    whole = [edge for edge in edges if abs(edge - round(edge)) < 1e-9]
    bars = [
        _linked(bar, low, high, form, path)
        for bar, (low, high) in zip(
            _bars(counts, [f"{_percent(low)} to {_percent(high)}" for low, high in _pairs(edges)], "features"),
            _pairs(edges),
            strict=True,
        )
    ]
    return Chart(
        title="Features by density",
        description=f"How many of the {count(sum(counts))} features that fire do so on which share of the "
        f"{count(n_tokens)} tokens, on a log scale.",
        of="Density",
        counted="Features",
        bars=bars,
        ticks=[Tick(WIDTH * (edge - edges[0]) / span, _percent(edge)) for edge in whole],
        most=max(counts),
    )


def _linked(bar: Bar, low: float, high: float, form: ListForm, path: str) -> Bar:
    lowest, highest = _asked(form.min_density, 0), _asked(form.max_density, 100)
    narrowed = bool(form.min_density or form.max_density)
    low_text, high_text = _digits(low), _digits(high)
    return Bar(
        bar.x,
        bar.y,
        bar.width,
        bar.height,
        bar.what,
        bar.value,
        form.address(path, min_density=low_text, max_density=high_text),
        narrowed and float(high_text) > lowest and float(low_text) < highest,
        low_text,
        high_text,
    )


def _asked(text: str, otherwise: float) -> float:
    try:
        return float(text.replace(",", ".").removesuffix("%"))
    except ValueError:
        return otherwise


def _digits(exponent: float) -> str:
    """A density in per cent as the form takes it."""
    return f"{100 * 10**exponent:.3g}" if exponent > -6 else f"{100 * 10**exponent:.10f}".rstrip("0")


def _percent(exponent: float) -> str:
    return f"{_digits(exponent)}\u202f%"


def _pairs(edges: Sequence[float]) -> list[tuple[float, float]]:
    return list(pairwise(edges))


def _bars(counts: Sequence[int], whats: Sequence[str], counted: str, is_log: bool = False) -> list[Bar]:
    heights = [math.log10(n) + 1 if is_log and n else float(n) for n in counts]  # on a log scale, 1 has a height too
    tallest, step = max(heights), WIDTH / len(counts)
    width = round(step - GAP, 2)
    bars = []
    for i, (n, tall, what) in enumerate(zip(counts, heights, whats, strict=True)):
        height = round(max(LEAST, HEIGHT * tall / tallest), 2) if n else 0.0
        x = round(i * step + GAP / 2, 2)
        bars.append(Bar(x, round(HEIGHT - height, 2), width, height, what, f"{count(n)} {counted}"))
    return bars
