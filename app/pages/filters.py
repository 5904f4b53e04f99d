"""How values are written on pages: numbers, shares, tokens, and the level of heat."""

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

from app.domain import FeatureSummary, telling_tokens

LEVELS = 10  # of heat; css/site.css has a class for each
VISIBLE = str.maketrans({" ": "·", "\n": "↵", "\r": "␍", "\t": "⇥", "\u00a0": "⍽"})
ARCHITECTURES = {
    "standard": "ReLU",
    "relu": "ReLU",
    "jumprelu": "JumpReLU",
    "topk": "TopK",
    "batchtopk": "BatchTopK",
    "matryoshka_batchtopk": "Matryoshka BatchTopK",
    "gated": "Gated",
}


def heat(activation: float, scale: float) -> int:
    """0 for a silent token, else 1 to LEVELS by its share of `scale`, the activation shown at full strength."""
    if activation <= 0:
        return 0
    return math.ceil(LEVELS * activation / scale) or 1 if activation < scale else LEVELS


def number(value: float) -> str:
    """Three significant digits, whole numbers from 100 on, small ones in scientific notation."""
    if 1 <= value < 100:  # most of what a page shows
        return f"{value:.2f}" if value < 10 else f"{value:.1f}"
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "−∞" if value < 0 else "∞"
    size = abs(value)
    if 0.001 <= size < 100:
        text = f"{value:.2f}" if size >= 1 and size < 10 else f"{value:.1f}" if size >= 10 else _fraction(value, size)
    else:
        text = f"{value:,.0f}" if 100 <= size < 1e9 else f"{value:.2e}"
    return text if value > 0 and size >= 0.001 else text.replace("-", "−")


def _fraction(value: float, size: float) -> str:
    return f"{value:.3f}" if size >= 0.1 else f"{value:.4f}" if size >= 0.01 else f"{value:.5f}"


def count(n: int) -> str:
    return f"{n:,}"


def share(value: float) -> str:
    """A share of 1 in per cent, with as many digits as tell it from 0 and from 100 %."""
    percent = 100 * value
    if percent == 0 or percent == 100:
        return f"{percent:.0f}\u202f%"
    if percent < 0.001:
        return "<\u202f0.001\u202f%"
    if percent > 99.9 and percent < 100:
        return ">\u202f99.9\u202f%"
    digits = 0 if percent >= 10 else 1 if percent >= 1 else 2 if percent >= 0.1 else 3
    return f"{percent:.{digits}f}\u202f%"


def density(feature: FeatureSummary) -> str:
    """In per cent; of a feature that never fired only what can be said of it at 95 % (the rule of three)."""
    if feature.n_active_tokens:
        return share(feature.density)
    return "never fired"


def visible(token: str) -> str:
    """A lone token, its spaces and line breaks as signs."""
    if token.isprintable():  # then it holds no other of them
        return token.replace(" ", VISIBLE[ord(" ")])
    return token.translate(VISIBLE)


def shortened(text: str, most: int = 100) -> str:
    """A name or a value where it stands beside many others; where it stands for itself it is whole."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def architecture(name: str) -> str:
    """As the field writes it; a name that is not known stays as the SAE's own files have it."""
    return ARCHITECTURES.get(name.lower(), name)


def day(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y}"


FILTERS: dict[str, Callable[..., Any]] = {
    "heat": heat,
    "number": number,
    "count": count,
    "share": share,
    "density": density,
    "visible": visible,
    "shortened": shortened,
    "telling": telling_tokens,
    "architecture": architecture,
    "day": day,
}
