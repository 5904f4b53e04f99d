"""A sentence of the corpus, its tokens, and a sentence as an example of a feature."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from app.domain.values import Json

INTERVALS = 5


class Group(StrEnum):
    """Why an example is shown for a feature."""

    TOP = "top"
    INTERVAL_1 = "interval-1"  # the weakest fifth of (0, max]
    INTERVAL_2 = "interval-2"
    INTERVAL_3 = "interval-3"
    INTERVAL_4 = "interval-4"
    INTERVAL_5 = "interval-5"
    SILENT = "silent"  # the feature never fires
    CONTRAST = "contrast"  # holds the feature's favourite token, yet the feature stays silent


INTERVAL_GROUPS = (Group.INTERVAL_1, Group.INTERVAL_2, Group.INTERVAL_3, Group.INTERVAL_4, Group.INTERVAL_5)


class TokenSpan(NamedTuple):  # a tuple: a page makes thousands
    """A token's place in its text, in characters: text[start:end]. A token inside a character has start == end."""

    start: int
    end: int


class Token(NamedTuple):
    """One token of a shown sentence. text == sentence text[start:end]."""

    text: str
    start: int
    end: int
    activation: float


class Peak(NamedTuple):
    """Where a feature is strongest in one sentence. position: index into the sentence's tokens."""

    position: int
    token: str
    activation: float


@dataclass(frozen=True)
class Sentence:
    """One record of the corpus, or one window of a longer record, as stored.

    number: place in the corpus, counting every sentence (duplicates too, which are not stored: the first is).
    record, offset: which record of the corpus it came from, and at which character of it this window begins.
    ends: at which character each token ends; it begins where the one before it ends, the first at 0, so that tokens
    cover the text. Special tokens such as BOS are left out. A token inside a character ends where the one before does.
    """

    number: int
    text: str
    ends: Sequence[int]
    metadata: Mapping[str, Json]
    record: int
    offset: int


class Example(NamedTuple):
    """One example ready to be shown.

    ends: see Sentence. firings: the feature's activations above 0, by token position, ascending.
    """

    group: Group
    rank: int
    sentence: int
    text: str
    peak: Peak | None
    ends: Sequence[int]
    firings: Mapping[int, float]
    metadata: Mapping[str, Json]
    offset: int

    @property
    def tokens(self) -> list[Token]:
        """Every token with its activation. Pages do with the firings: there are few, and tokens are many."""
        return [
            Token(self.text[start:end], start, end, self.firings.get(position, 0.0))
            for position, (start, end) in enumerate(zip((0, *self.ends), self.ends, strict=False))
        ]
