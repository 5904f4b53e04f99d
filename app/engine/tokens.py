"""Text to token ids and back to lossless spans: text[start:end] of every token, for any script."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from app.domain import TokenSpan
from app.engine.slow_tokens import token_ends

ALONE = 2000  # characters, above which to hold up other threads would take more than half a millisecond
Tokenizer = Any  # transformers.PreTrainedTokenizerFast, which ships no types


@dataclass(frozen=True)
class Window:
    """A piece of a text that fits the context. spans: one per id, into this window's own text; BOS not among them."""

    text: str
    token_ids: Sequence[int]
    spans: Sequence[TokenSpan]
    offset: int


def plain_offsets(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer, its offsets no longer trimmed of spaces: what it adds around a text is added by us.

    Byte-level post-processors (Pythia, Llama 3) may leave spaces and newlines out of a token's offsets.
    """
    if tokenizer.is_fast:
        from tokenizers import processors

        tokenizer.backend_tokenizer.post_processor = processors.Sequence([])
    return tokenizer


def encode(tokenizer: Tokenizer, text: str) -> tuple[list[int], list[TokenSpan]]:
    """Token ids of the text, taken as plain text (a typed "<|endoftext|>" is no special token), and their spans.

    The spans follow one another without gap or overlap and cover the text: what a tokenizer leaves out of its
    offsets (spaces before a word) goes to the next token; of the pieces of one character the first holds it and the
    others are empty.
    """
    ids, starts, ends = _ids_with_places(tokenizer, text)
    special = _special_ids(tokenizer)
    typed = next((starts[i] for i, id in enumerate(ids) if id in special), None)
    if typed is not None and typed + 1 < len(text):
        # Some vocabularies (Unigram, a slow WordPiece) take a special token for a word all the same: cut it in two.
        before, after = encode(tokenizer, text[: typed + 1]), encode(tokenizer, text[typed + 1 :])
        ends = [span.end for span in before[1]] + [typed + 1 + span.end for span in after[1]]
        ids = [*before[0], *after[0]]
    return ids, _covering(text, ends)


def _ids_with_places(tokenizer: Tokenizer, text: str) -> tuple[list[int], list[int], list[int]]:
    """Ids, and where each token begins and ends."""
    if not tokenizer.is_fast:
        ids = list(tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))
        ends = list(token_ends(tokenizer, text, ids))
        return ids, [0, *ends[:-1]], ends
    backend = _backend(tokenizer)
    if backend is not None:
        # A batch of one wakes threads of its own, but lets other threads of Python go on meanwhile.
        is_long = len(text) > ALONE
        found = (
            backend.encode_batch([text], add_special_tokens=False)[0]
            if is_long
            else backend.encode(text, add_special_tokens=False)
        )
        ids, offsets = found.ids, found.offsets
    else:
        encoded = tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, split_special_tokens=True, verbose=False
        )
        ids, offsets = list(encoded["input_ids"]), encoded["offset_mapping"]
    return ids, [start for start, _ in offsets], _ends(tokenizer, ids, offsets)


def _backend(tokenizer: Tokenizer) -> Any:
    """What a fast tokenizer hands a text to, set to take it whole and as plain text; None where it does more than that.

    Asked straight it takes a third of the time.
    """
    kept = getattr(tokenizer, "_featurescope_backend", None)
    if kept is None:
        from transformers import PreTrainedTokenizerFast as Plain

        kind = type(tokenizer)
        is_plain = kind.__call__ is Plain.__call__ and kind._encode_plus is Plain._encode_plus
        if is_plain:
            tokenizer.backend_tokenizer.no_truncation()
            tokenizer.backend_tokenizer.no_padding()
        kept = tokenizer._featurescope_backend = (tokenizer.backend_tokenizer if is_plain else None,)
    (backend,) = kept
    if backend is not None and not backend.encode_special_tokens:  # as it is after a call of the tokenizer itself
        backend.encode_special_tokens = True
    return backend


def _ends(tokenizer: Tokenizer, ids: Sequence[int], offsets: Sequence[tuple[int, int]]) -> list[int]:
    """Where each token ends; SentencePiece's added space is given the first letter's offset, and holds nothing."""
    ends = [end for _, end in offsets]
    for number, ((start, _), (after, _)) in enumerate(pairwise(offsets)):
        if start == after and not tokenizer.convert_ids_to_tokens(ids[number]).strip("\u2581"):
            ends[number] = start
    return ends


def _covering(text: str, ends: Sequence[int]) -> list[TokenSpan]:
    """Spans without gap from where each token ends."""
    spans: list[TokenSpan] = []
    covered = 0
    for end in ends:
        reached = max(covered, end)
        spans.append(TokenSpan(covered, reached))
        covered = reached
    if spans and covered < len(text):
        spans[-1] = TokenSpan(spans[-1].start, len(text))
    return spans


def _special_ids(tokenizer: Tokenizer) -> frozenset[int]:
    """The ids that no text may give, asked once. The unknown token is no such: text gives it."""
    cached: frozenset[int] | None = getattr(tokenizer, "_featurescope_special", None)
    if cached is None:
        cached = frozenset(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
        tokenizer._featurescope_special = cached
    return cached


def windows(tokenizer: Tokenizer, text: str, n_tokens: int) -> list[Window]:
    """The text in windows of at most n_tokens tokens each, cut between characters; none for a text without tokens."""
    ids, spans = encode(tokenizer, text)
    cut: list[Window] = []
    start = 0
    while start < len(ids):
        stop = min(start + n_tokens, len(ids))
        # Never between the pieces of one character: the later ones have an empty span.
        while stop < len(ids) and spans[stop].start == spans[stop].end and stop > start + 1:
            stop -= 1
        if stop == start + 1 and n_tokens > 1:
            stop = min(start + n_tokens, len(ids))
        first = spans[start].start
        text_end = spans[stop - 1].end
        inside = spans[start:stop]
        if first:
            inside = [TokenSpan(span.start - first, span.end - first) for span in inside]
        cut.append(Window(text[first:text_end], ids[start:stop], inside, first))
        start = stop
    return cut


def token_text(tokenizer: Tokenizer, token_id: int) -> str:
    """What is shown for a token on its own: its characters, or its bytes as <0xE2> where they make none."""
    piece = tokenizer.convert_ids_to_tokens(int(token_id))
    if piece is None:
        return f"<{token_id}>"
    if token_id in tokenizer.all_special_ids:
        return str(piece)
    if not _is_byte_level(tokenizer):
        return str(piece).replace("\u2581", " ")
    raw = b"".join(_byte_of(character) for character in piece)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return "".join(chr(b) if b < 0x80 else f"<0x{b:02X}>" for b in raw)


def _is_byte_level(tokenizer: Tokenizer) -> bool:
    cached = getattr(tokenizer, "_featurescope_byte_level", None)
    if cached is None:
        cached = hasattr(tokenizer, "byte_decoder")  # a slow one
        if tokenizer.is_fast:
            parts = json.loads(tokenizer.backend_tokenizer.to_str())
            cached = '"ByteLevel"' in json.dumps([parts.get("decoder"), parts.get("pre_tokenizer")])
        tokenizer._featurescope_byte_level = cached
    return bool(cached)


def _byte_of(character: str) -> bytes:
    byte = _byte_alphabet().get(character)
    return character.encode() if byte is None else bytes([byte])


@cache
def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins for the 256 bytes (Radford et al. 2019, encoder.py): printable ones for themselves,
    the others by code points from 256 upwards in byte order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(256 + n): b for n, b in enumerate(others)}
