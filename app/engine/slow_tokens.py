"""Where the tokens of a slow tokenizer stand in their text: it gives ids alone, so the text is walked along them."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

HORIZON = 256  # characters ahead that are searched for a token that does not stand right here
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
# What vocabularies write into a piece beside its characters: a space before, the middle or the end of a word.
_MARKS = re.compile(r"^##|</w>$|@@$")


def token_ends(tokenizer: Any, text: str, ids: Sequence[int]) -> list[int]:
    """For each token the character after its last, never going back; tokens inside a character repeat its end.

    A token that cannot be found (unknown, or normalised beyond recognition) reaches to where the next one begins.
    """
    characters = _Folded(text)
    ends: list[int] = []
    unknown: list[int] = []
    for number, id in enumerate(ids):
        raw = _bytes_of(tokenizer, id)
        found = characters.skip_bytes(raw) if raw is not None else None
        if raw is None and id != tokenizer.unk_token_id:
            found = characters.find(_surface(tokenizer, id))
        if found is None:
            unknown.append(number)
            ends.append(characters.at)
            continue
        start, end = found
        for earlier in unknown:  # they share what lies before this one; the first takes it
            ends[earlier] = max(ends[earlier], start)
        unknown = []
        ends.append(end)
    return ends


class _Folded:
    """The text without case, accents and compatibility forms, and which character each of its letters is from."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0  # characters that tokens have taken
        self.pending = 0  # bytes of the last character taken that are still to come
        self.folded = ""
        self.origin: list[int] = []
        for index, character in enumerate(text):
            letters = fold(character)
            self.folded += letters
            self.origin += [index] * len(letters)

    def skip_bytes(self, raw: bytes) -> tuple[int, int]:
        """The characters that begin inside the next len(raw) bytes."""
        start = self.at
        left = len(raw) - self.pending
        self.pending = max(0, -left)
        while left > 0 and self.at < len(self.text):
            size = len(self.text[self.at].encode())
            self.at += 1
            self.pending = max(0, size - left)
            left -= size
        return start, self.at

    def find(self, surface: str) -> tuple[int, int] | None:
        """Where the surface stands next, a little ahead at most."""
        wanted = fold(surface)
        if not wanted.strip():
            wanted = surface
        begin = next((i for i, origin in enumerate(self.origin) if origin >= self.at), len(self.origin))
        place = self.folded.find(wanted, begin, begin + HORIZON)
        if place < 0:
            wanted = wanted.strip()
            place = self.folded.find(wanted, begin, begin + HORIZON) if wanted else -1
        if place < 0 or not wanted:
            return None
        start = self.origin[place]
        self.at = self.origin[place + len(wanted) - 1] + 1
        self.pending = 0
        return start, self.at


def fold(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))


def _bytes_of(tokenizer: Any, id: int) -> bytes | None:
    """The bytes that a token stands for, of tokenizers that work on bytes: GPT-2's alphabet, ByT5, byte fallback."""
    piece = str(tokenizer.convert_ids_to_tokens(id))
    named = _BYTE.fullmatch(piece)
    if named is not None:
        return bytes([int(named[1], 16)])
    decoder = getattr(tokenizer, "byte_decoder", None)
    if decoder is not None and all(character in decoder for character in piece):
        return bytes(decoder[character] for character in piece)
    if type(tokenizer).__name__ == "ByT5Tokenizer" and len(piece) == 1:
        return piece.encode("latin-1")
    return None


def _surface(tokenizer: Any, id: int) -> str:
    piece = str(tokenizer.convert_ids_to_tokens(id))
    return _MARKS.sub("", piece).replace("\u2581", " ")
