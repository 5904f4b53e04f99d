"""Examples as pages show them: the tokens around the peak, or the whole sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.domain import Example, Token

BEFORE, AFTER = 20, 14  # tokens around the peak
WHOLE = BEFORE + AFTER + 4  # a sentence of no more tokens is never cut


class View(StrEnum):
    SNIPPET = "snippet"
    FULL = "full"


@dataclass(frozen=True)
class ShownToken:
    text: str
    activation: float
    is_peak: bool


@dataclass(frozen=True)
class ShownExample:
    """tokens: those in view; cut_before, cut_after: whether the sentence goes on beyond them."""

    example: Example
    tokens: Sequence[ShownToken]
    cut_before: bool
    cut_after: bool


def shown(example: Example, view: View) -> ShownExample:
    first, last = 0, len(example.tokens)
    if view is View.SNIPPET and last > WHOLE:
        middle = example.peak.position if example.peak else 0
        first = max(0, min(middle - BEFORE, last - (BEFORE + AFTER)))
        last = min(last, first + BEFORE + AFTER)
        first, last = _whole_characters(example.tokens, first, last)
    peak = example.peak.position if example.peak else None
    tokens = visible_tokens(example.tokens[first:last], None if peak is None else peak - first)
    return ShownExample(example, tokens, first > 0, last < len(example.tokens))


def visible_tokens(tokens: Sequence[Token], peak: int | None) -> list[ShownToken]:
    """Tokens that a reader can see: the later pieces of one character lend their heat to the piece that holds it."""
    seen: list[ShownToken] = []
    for position, token in enumerate(tokens):
        is_peak = position == peak
        if token.start == token.end and seen:
            held = seen[-1]
            seen[-1] = ShownToken(held.text, max(held.activation, token.activation), held.is_peak or is_peak)
        else:
            seen.append(ShownToken(token.text, token.activation, is_peak))
    return seen


def _whole_characters(tokens: Sequence[Token], first: int, last: int) -> tuple[int, int]:
    """Never cut between the pieces of one character: the later ones are empty."""
    while first > 0 and tokens[first].start == tokens[first].end:
        first -= 1
    while last < len(tokens) and tokens[last].start == tokens[last].end:
        last += 1
    return first, last
