"""Text as search sees it: words, folded, and the signs between them, so that anything typed can be looked for.

Both kinds of database index what `spaced` makes of a text, so that they find the same. Letters of scripts without
spaces between words, and every sign that belongs to no word, are words of their own: `日本` is then two neighbours, and
`C++` three.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

# Thai to Tibetan, Burmese, Khmer, Kana, Bopomofo and Han.
_SPACELESS = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u312f\u31a0-\u31ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
# Marks that belong to the word they stand in: combining accents, Hebrew and Arabic points, the vowels of India.
_MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0dff"
_WORD = re.compile(rf"(?:[^\W_{_SPACELESS}]|[{_MARKS}])+|[^\s\x00-\x1f\x7f]")
_ACCENTS = re.compile("[\u0300-\u036f]")
# Marks that are drawn above or below the one before: accents, and those of Hebrew, Arabic and Thai.
_PILE = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u064b-\u065f\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
    "\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{2,}"
)
_LEXEME = re.compile(r"'((?:[^']|'')+)':([\d,]+)")
_LEXEME_CHARACTERS = 500  # a lexeme may have 2,046 bytes
_PLACES = 16_383  # that a tsvector can tell apart


class Word(NamedTuple):
    """A word and where it stands: folded from text[start:end]."""

    folded: str
    start: int
    end: int


def most_accents(text: str) -> int:
    """How many marks one of its characters carries at most, where that is more than one; else 0."""
    return 0 if text.isascii() else max(map(len, _PILE.findall(text)), default=0)


def words(text: str) -> Iterator[Word]:
    """The words and signs of a text in their order."""
    if text.isascii():
        lower = text.lower()
        for match in _WORD.finditer(lower):
            yield Word(match.group(), *match.span())
    else:
        for match in _WORD.finditer(text):
            yield Word(_folded(match.group()), *match.span())


def spaced(text: str) -> str:
    """The words of a text with one space between them: what is indexed."""
    if text.isascii():
        return " ".join(_WORD.findall(text.lower()))
    return " ".join(_folded(word) for word in _WORD.findall(text))


def _folded(word: str) -> str:
    """Without case, accents and compatibility forms; never empty, never with a space in it."""
    if word.isascii():
        return word.lower()
    decomposed = unicodedata.normalize("NFKD", word.casefold())
    folded = unicodedata.normalize("NFC", _ACCENTS.sub("", decomposed)).casefold()
    return "".join(folded.split()) or word


def lexeme(word: str) -> str:
    """A word as PostgreSQL reads it inside a tsvector or a tsquery."""
    return "'" + word.replace("\\", "\\\\").replace("'", "''") + "'"


def tsvector_text(words: str) -> str:
    """What `spaced` made, as a tsvector: words with their places, as many as PostgreSQL keeps of a text."""
    kept = [word for word in words.split() if len(word) <= _LEXEME_CHARACTERS]
    return " ".join(f"{lexeme(word)}:{place}" for place, word in enumerate(kept[:_PLACES], 1))


def tsvector_words(vector: str) -> str:
    """The reverse of tsvector_text, of what PostgreSQL writes."""
    placed = [
        (int(place), word.replace("''", "'").replace("\\\\", "\\"))
        for word, places in _LEXEME.findall(vector)
        for place in places.split(",")
    ]
    return " ".join(word for _, word in sorted(placed))
