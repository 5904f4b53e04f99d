"""The training text: prose sentences in reading order, and the demo corpus by topic."""

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

BOS = "<|bos|>"
PAD = "<|pad|>"
# Every tenth sentence of a topic is never trained on: validation of the model and of the SAE rests on these.
HELD_OUT_EVERY = 10

_SENTENCE_END = re.compile(r'(?<=[.!?]["\')\]])\s+|(?<=[.!?])\s+')


def read_corpus(path: Path) -> dict[str, list[str]]:
    """The demo corpus by topic, in file order. path: a .jsonl file with `text` and `topic`."""
    topics: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        topics.setdefault(record["topic"], []).append(record["text"])
    return topics


def split_held_out(topics: dict[str, list[str]]) -> tuple[dict[str, list[str]], list[str]]:
    """(training sentences by topic, held-out sentences)"""
    train = {t: [s for i, s in enumerate(lines) if i % HELD_OUT_EVERY != 0] for t, lines in topics.items()}
    held_out = [s for lines in topics.values() for s in lines[::HELD_OUT_EVERY]]
    return train, held_out


def read_prose(folder: Path) -> Iterator[str]:
    """Paragraphs of every .txt.gz in the folder, files in name order."""
    for path in sorted(folder.glob("*.txt.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            yield from (line.strip() for line in lines if line.strip())


def sentences_of(paragraph: str) -> list[str]:
    return [s for s in _SENTENCE_END.split(paragraph) if s]


@dataclass(frozen=True)
class EncodedSentences:
    """Each sentence's ids twice: as it begins a text, and as it follows another (with the space between)."""

    first: list[list[int]]
    following: list[list[int]]

    def __len__(self) -> int:
        return len(self.first)


def encode_sentences(tokenizer: Tokenizer, sentences: list[str]) -> EncodedSentences:
    def ids(texts: list[str]) -> list[list[int]]:
        return [e.ids for e in tokenizer.encode_batch(texts, add_special_tokens=False)]

    return EncodedSentences(ids(sentences), ids([" " + s for s in sentences]))


def fill_row(encoded: EncodedSentences, order: list[int], bos: int, n_tokens: int) -> list[int]:
    """BOS and the sentences in the order given, cut off at n_tokens; shorter if they run out."""
    row = [bos]
    for n, sentence in enumerate(order):
        row += encoded.first[sentence] if n == 0 else encoded.following[sentence]
        if len(row) >= n_tokens:
            break
    return row[:n_tokens]
