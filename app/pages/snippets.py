"""Examples as pages show them: the tokens around the peak, one line of them, or the whole sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from app.domain import Example
from app.pages.filters import VISIBLE


class View(StrEnum):
    SNIPPET = "snippet"
    FULL = "full"
    LINE = "line"  # one line an example, the peaks below one another


# Tokens before and after the peak. A full sentence is cut where its markup alone would outweigh the page.
_AROUND = {View.SNIPPET: (20, 14), View.LINE: (12, 10), View.FULL: (600, 400)}
SLACK = 4  # a sentence that is longer by no more tokens is not cut
# A line may break after a space that is shown as a sign; one line has no breaks.
_SIGNS = {space: sign + ("\n" if space == ord("\n") else "\u200b") for space, sign in VISIBLE.items()}
_ONE_LINE = {space: sign for space, sign in VISIBLE.items() if space != ord(" ")}


class ShownToken(NamedTuple):
    """A token, or a run of tokens on which the feature is silent."""

    text: str
    activation: float
    is_peak: bool


@dataclass(frozen=True)
class ShownExample:
    """tokens: those in view; cut_before, cut_after: whether the sentence goes on beyond them; n_firing: of all."""

    example: Example
    tokens: Sequence[ShownToken]
    cut_before: bool
    cut_after: bool
    n_firing: int

    @property
    def before_peak(self) -> Sequence[ShownToken]:
        return self.tokens[: self._peak]

    @property
    def from_peak(self) -> Sequence[ShownToken]:
        return self.tokens[self._peak :]

    @property
    def _peak(self) -> int:
        return next((place for place, token in enumerate(self.tokens) if token.is_peak), 0)


def shown(example: Example, view: View, with_spaces: bool = False) -> ShownExample:
    """with_spaces: spaces, tabs and line breaks as signs; on one line, line breaks always are."""
    n = len(example.ends)
    first, last = _window(example, view)
    tokens = _tokens(example, first, last)
    signs = _SIGNS if with_spaces else _ONE_LINE if view is View.LINE else None
    if signs is not None:
        tokens = [ShownToken(text.translate(signs), activation, is_peak) for text, activation, is_peak in tokens]
    return ShownExample(example, tokens, first > 0, last < n, sum(value > 0 for value in example.firings.values()))


def _window(example: Example, view: View) -> tuple[int, int]:
    """The tokens in view, never cut between the pieces of one character: the later ones are empty."""
    ends, n = example.ends, len(example.ends)
    before, after = _AROUND[view]
    if n <= before + after + SLACK:
        return 0, n
    middle = example.peak.position if example.peak else 0
    first = max(0, min(middle - before, n - (before + after)))
    last = first + before + after
    while first > 0 and ends[first] == ends[first - 1]:
        first -= 1
    while last < n and ends[last] == ends[last - 1]:
        last += 1
    return first, last


def _tokens(example: Example, first: int, last: int) -> list[ShownToken]:
    """Each token that fires, and the peak; what is silent between them as one. A piece of a character is not seen: it
    lends its heat to the piece that holds the character."""
    text, ends, firings = example.text, example.ends, example.firings
    peak = example.peak.position if example.peak else None
    positions = firings if peak is None or peak in firings else sorted((*firings, peak))
    tokens: list[ShownToken] = []
    at = ends[first - 1] if first else 0
    for position in positions:
        if not first <= position < last:
            continue
        activation, is_peak = firings.get(position, 0.0), position == peak
        start, end = ends[position - 1] if position else 0, ends[position]
        if start == end and position > first:  # a later piece
            start = _held_from(ends, position, first)
            if start < at:  # what holds it is shown already
                held = tokens[-1]
                tokens[-1] = ShownToken(held.text, max(held.activation, activation), held.is_peak or is_peak)
                continue
        if start > at:
            tokens.append(ShownToken(text[at:start], 0.0, False))
        tokens.append(ShownToken(text[start:end], activation, is_peak))
        at = end
    stop = ends[last - 1] if last else 0
    if at < stop:
        tokens.append(ShownToken(text[at:stop], 0.0, False))
    return tokens


def _held_from(ends: Sequence[int], position: int, first: int) -> int:
    """Where the character begins of which the token at this position is a later piece."""
    while position > first and ends[position] == ends[position - 1]:
        position -= 1
    return ends[position - 1] if position else 0
