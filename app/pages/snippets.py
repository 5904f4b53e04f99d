"""Examples as pages show them: the tokens around the peak, one line of them, or the whole sentence."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import NamedTuple

from app.domain import Example, Token
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
    before, after = _AROUND[view]
    first, last = 0, len(example.tokens)
    if last > before + after + SLACK:
        middle = example.peak.position if example.peak else 0
        first = max(0, min(middle - before, last - (before + after)))
        last = min(last, first + before + after)
        first, last = _whole_characters(example.tokens, first, last)
    peak = example.peak.position if example.peak else None
    tokens = visible_tokens(example.tokens[first:last], None if peak is None else peak - first)
    signs = _SIGNS if with_spaces else _ONE_LINE if view is View.LINE else None
    n_firing = sum(token.activation > 0 for token in example.tokens)
    return ShownExample(example, list(_runs(tokens, signs)), first > 0, last < len(example.tokens), n_firing)


def _runs(tokens: Sequence[ShownToken], signs: dict[int, str] | None) -> Iterator[ShownToken]:
    """Silent tokens that follow one another as one, and spaces as signs."""
    for is_silent, run in groupby(tokens, lambda token: not token.activation and not token.is_peak):
        some = list(run)
        if is_silent:
            some = [ShownToken("".join([token.text for token in some]), 0.0, False)]
        for token in some:
            yield token if signs is None else token._replace(text=token.text.translate(signs))


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
