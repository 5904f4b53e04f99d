"""Examples as pages show them: the tokens around the peak, one line of them, or the whole sentence."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from app.domain import Example, Json
from app.pages.filters import VISIBLE, shortened


class View(StrEnum):
    SNIPPET = "snippet"
    FULL = "full"
    LINE = "line"  # one line an example, the peaks below one another


class Room(NamedTuple):
    """How much of a sentence is in view: tokens before and after the peak; at most, characters and tokens that fire.

    One that fires weighs twenty times its text: the full sentence of a feature that fires on every token is cut too.
    """

    before: int
    after: int
    characters: int
    marks: int


ROOMS = {View.SNIPPET: Room(20, 14, 400, 34), View.LINE: Room(12, 10, 250, 22), View.FULL: Room(600, 400, 5000, 320)}
IN_LIST = Room(12, 10, 120, 20)
SLACK = 4  # a sentence that is longer by no more tokens is not cut
FIELDS, FIELD, VALUE = 6, 30, 60  # of an example's metadata: how many, and their characters
_MARK = 62  # bytes that a marked token weighs beside its text
# A line may break after a space that is shown as a sign; one line has no breaks.
_SIGNS = {space: sign + ("\n" if space == ord("\n") else "\u200b") for space, sign in VISIBLE.items()}
_ONE_LINE = {space: sign for space, sign in VISIBLE.items() if space != ord(" ")}


class ShownToken(NamedTuple):
    """A token, or a run of tokens on which the feature is silent."""

    text: str
    activation: float
    is_peak: bool


class ShownExample(NamedTuple):
    """tokens: those in view; cut_before, cut_after: whether the sentence goes on beyond them; n_firing: of all.

    metadata: as much of it as an example has room for; the sentence's own page has the rest.
    """

    example: Example
    tokens: Sequence[ShownToken]
    cut_before: bool
    cut_after: bool
    n_firing: int
    metadata: Sequence[tuple[str, str]] = ()

    @property
    def weight(self) -> int:
        """Bytes of HTML, roughly."""
        marks = [True for token in self.tokens if token.activation]
        texts = [token.text for token in self.tokens] + [text for field in self.metadata for text in field]
        return len("".join(texts).encode()) + _MARK * len(marks)

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
    signs = _SIGNS if with_spaces else _signs_in_line(example.text) if view is View.LINE else None
    return _shown(example, ROOMS[view], signs, _described(example.metadata))


def shown_in_list(example: Example) -> ShownExample:
    """One line of it, beside others in a list of features."""
    return _shown(example, IN_LIST, _signs_in_line(example.text), ())


def fitting(examples: Sequence[ShownExample], most: int) -> Sequence[ShownExample]:
    """The first of them that weigh no more than `most` together; one at least."""
    weight = 0
    for n, example in enumerate(examples):
        weight += example.weight
        if n and weight > most:
            return examples[:n]
    return examples


def _shown(
    example: Example, room: Room, signs: Mapping[int, str] | None, metadata: Sequence[tuple[str, str]]
) -> ShownExample:
    n = len(example.ends)
    first, last = _window(example, room)
    tokens = _tokens(example, first, last)
    if signs is not None:
        tokens = [ShownToken(text.translate(signs), activation, is_peak) for text, activation, is_peak in tokens]
    n_firing = len([value for value in example.firings.values() if value > 0])
    return ShownExample(example, tokens, first > 0, last < n, n_firing, metadata)


def _signs_in_line(text: str) -> Mapping[int, str] | None:
    """None where nothing would break the line, as in nearly every sentence: all that does is unprintable."""
    return None if text.isprintable() else _ONE_LINE


def _described(metadata: Mapping[str, Json]) -> list[tuple[str, str]]:
    if not metadata:
        return []
    return [(shortened(field, FIELD), shortened(str(value), VALUE)) for field, value in list(metadata.items())[:FIELDS]]


def _window(example: Example, room: Room) -> tuple[int, int]:
    """The tokens in view, never cut between the pieces of one character: the later ones are empty."""
    ends, n = example.ends, len(example.ends)
    n_tokens = room.before + room.after
    first, last = 0, n
    middle = example.peak.position if example.peak else 0
    if n > n_tokens + SLACK:
        first = max(0, min(middle - room.before, n - n_tokens))
        last = first + n_tokens
    if last and ends[last - 1] - (ends[first - 1] if first else 0) > room.characters:
        first, last = _within_characters(ends, first, last, middle, room.characters)
    firing = [position for position in example.firings if first <= position < last]
    if len(firing) > room.marks:
        begin = max(0, min(bisect_left(firing, middle) - room.marks // 2, len(firing) - room.marks))
        first, last = firing[begin], firing[begin + room.marks - 1] + 1
    while first > 0 and ends[first] == ends[first - 1]:
        first -= 1
    while last < n and ends[last] == ends[last - 1]:
        last += 1
    return first, last


def _within_characters(ends: Sequence[int], first: int, last: int, middle: int, most: int) -> tuple[int, int]:
    """Of tokens first to last - 1 those around the middle one that have so many characters; the middle one always."""
    begin, end = (ends[first - 1] if first else 0), ends[last - 1]
    start = max(begin, min((ends[middle - 1] if middle else 0) - most // 2, end - most))
    if start > begin:
        first = min(bisect_left(ends, start, first, last) + 1, middle)
    return first, max(bisect_right(ends, start + most, first, last), middle + 1)


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
