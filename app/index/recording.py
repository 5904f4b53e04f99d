"""A recording: every activation above 0 of a corpus, on disk, in the order in which it is reduced.

The corpus is recorded in chunks of windows. Within a chunk firings are sorted by feature, then by token; so a block of
features is one stretch of every chunk. All files only grow; `manifest.json` says how much of each is valid, which makes
a checkpoint of it: whatever lies beyond was written by a process that died, and is cut off when recording goes on.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from app.domain import Json, Sentence, TokenSpan

UInt32 = NDArray[np.uint32]
Int64 = NDArray[np.int64]
Float32 = NDArray[np.float32]

MANIFEST = "manifest.json"
MASKED = np.uint32(0xFFFFFFFF)  # the token id of a special token inside a text
# name: bytes of one entry
FILES = {
    "rows.u32": 4,  # a firing's token row
    "values.f32": 4,  # and its activation
    "counts.u32": 4,  # firings of each feature in each chunk: (n_chunks, n_features)
    "token_ids.u32": 4,  # a token row's id, MASKED where it is no token of statistics
    "window_tokens.u32": 4,  # token rows of each window
    "window_texts.u64": 16,  # a hash of each window's text
    "sentence_ends.u64": 8,  # where each window's line ends in sentences.jsonl
    "sentences.jsonl": 1,
}


@dataclass(frozen=True)
class Progress:
    """How far a recording is. records: records of the corpus that are done; n_special: BOS tokens fed and masked."""

    n_chunks: int = 0
    n_records: int = 0
    n_special: int = 0
    complete: bool = False


class RecordingWriter:
    """Appends chunks. Opened on a folder with a manifest of the same identity it goes on where that one stopped."""

    def __init__(self, folder: Path, identity: Mapping[str, Json]) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.identity = dict(identity)
        manifest = read_manifest(folder)
        self.sizes: dict[str, int] = dict.fromkeys(FILES, 0)
        self.progress = Progress()
        if manifest is not None:
            self.sizes = manifest["sizes"]
            self.progress = Progress(**manifest["progress"])
        self._marked = dict(self.sizes)
        self.files: dict[str, BinaryIO] = {}
        for name, size in self.sizes.items():
            file = (folder / name).open("ab")
            file.truncate(size)
            file.seek(size)
            self.files[name] = file

    def append(self, name: str, data: NDArray[Any] | bytes) -> None:
        written = data if isinstance(data, bytes) else np.ascontiguousarray(data).tobytes()
        self.files[name].write(written)
        self.sizes[name] += len(written)

    def mark(self, progress: Progress) -> None:
        """What is appended so far belongs together: a recording goes on from here, whatever is appended after."""
        self.progress = progress
        self._marked = dict(self.sizes)

    def checkpoint(self) -> None:
        """Everything up to the mark is on disk before the manifest says so."""
        for file in self.files.values():
            file.flush()
            os.fsync(file.fileno())
        manifest = {"identity": self.identity, "sizes": self._marked, "progress": vars(self.progress)}
        draft = self.folder / (MANIFEST + ".new")
        with draft.open("w", encoding="utf-8") as text:
            json.dump(manifest, text)
            text.flush()
            os.fsync(text.fileno())
        draft.replace(self.folder / MANIFEST)

    def close(self) -> None:
        """Also when the build is interrupted: then the next one goes on from the last mark."""
        if self.progress.n_chunks:
            with contextlib.suppress(OSError):
                self.checkpoint()
        for file in self.files.values():
            # A full disk was reported by the write that met it; closing has nothing to add.
            with contextlib.suppress(OSError):
                file.close()


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a recording, or None where there is none yet (or it is damaged: then recording begins anew)."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return manifest if set(manifest) == {"identity", "sizes", "progress"} else None


@dataclass(frozen=True)
class Firings:
    """A block of features' activations above 0. Of feature first + i: rows and values [bounds[i]:bounds[i + 1]],

    rows ascending.
    """

    first: int
    bounds: Int64
    rows: UInt32
    values: Float32


class Recording:
    """A complete recording, read by memory map."""

    def __init__(self, folder: Path, n_features: int) -> None:
        self.folder = folder
        manifest = read_manifest(folder)
        assert manifest is not None
        assert manifest["progress"]["complete"]
        self.sizes: dict[str, int] = manifest["sizes"]
        self.n_special: int = manifest["progress"]["n_special"]
        self.n_features = n_features
        self.rows: UInt32 = self._map("rows.u32", np.uint32)
        self.values: Float32 = self._map("values.f32", np.float32)
        self.counts: UInt32 = self._map("counts.u32", np.uint32).reshape(-1, n_features)
        self.token_ids: UInt32 = self._map("token_ids.u32", np.uint32)
        self.window_tokens: UInt32 = self._map("window_tokens.u32", np.uint32)
        # Where each window's token rows begin, and where the last ends.
        self.starts: Int64 = np.concatenate([[0], np.cumsum(self.window_tokens, dtype=np.int64)])
        # Which window each token row belongs to.
        self.window_of: UInt32 = np.repeat(np.arange(len(self.window_tokens), dtype=np.uint32), self.window_tokens)
        self.n_masked = int((self.token_ids == MASKED).sum())
        self.n_tokens = len(self.token_ids) - self.n_masked

    @property
    def n_windows(self) -> int:
        return len(self.window_tokens)

    def _map(self, name: str, kind: Any) -> NDArray[Any]:
        if self.sizes[name] == 0:
            return np.zeros(0, kind)
        return np.memmap(self.folder / name, kind, "r", shape=(self.sizes[name] // np.dtype(kind).itemsize,))

    def originals(self) -> Int64:
        """(n_windows,): the first window with the same text, which is the window itself unless it is a repeat."""
        texts = self._map("window_texts.u64", np.dtype([("high", "<u8"), ("low", "<u8")]))
        _, first, same = np.unique(texts, return_index=True, return_inverse=True)
        originals: Int64 = first[same]
        return originals

    def blocks(self, n_firings: int) -> Iterator[Firings]:
        """All features, in blocks that hold about n_firings at once (at least one feature)."""
        of_feature = self.counts.sum(axis=0, dtype=np.int64)
        chunk_starts = np.concatenate([[0], np.cumsum(self.counts.sum(axis=1, dtype=np.int64))])
        before = np.zeros(len(self.counts), np.int64)  # firings of earlier features, in each chunk
        first = 0
        while first < self.n_features:
            cumulative = np.cumsum(of_feature[first:])
            last = first + max(1, int(np.searchsorted(cumulative, n_firings, side="right")))
            counts = self.counts[:, first:last].astype(np.int64)
            yield self._read(first, counts, chunk_starts[:-1] + before)
            before += counts.sum(axis=1)
            first = last

    def _read(self, first: int, counts: Int64, begins: Int64) -> Firings:
        """counts: (n_chunks, n) firings of these features; begins: where they begin in each chunk."""
        bounds = np.concatenate([[0], np.cumsum(counts.sum(axis=0))])
        rows = np.empty(bounds[-1], np.uint32)
        values = np.empty(bounds[-1], np.float32)
        filled = bounds[:-1].copy()
        for chunk_counts, begin in zip(counts, begins, strict=True):
            n = int(chunk_counts.sum())
            # Of each firing of this chunk: its place among its feature's firings of the chunk.
            within = np.arange(n) - np.repeat(np.cumsum(chunk_counts) - chunk_counts, chunk_counts)
            places = np.repeat(filled, chunk_counts) + within
            rows[places] = self.rows[begin : begin + n]
            values[places] = self.values[begin : begin + n]
            filled += chunk_counts
        return Firings(first, bounds, rows, values)

    def sentences(self, numbers: Sequence[int] | Int64) -> Iterator[Sentence]:
        """The windows of these numbers, in the order given."""
        ends = self._map("sentence_ends.u64", np.uint64)
        with (self.folder / "sentences.jsonl").open("rb") as file:
            for number in numbers:
                begin = int(ends[number - 1]) if number else 0
                file.seek(begin)
                text, lengths, metadata, record, offset = json.loads(file.read(int(ends[number]) - begin))
                edges = [0, *np.cumsum(lengths).tolist()]
                spans = [TokenSpan(start, end) for start, end in pairwise(edges)]
                yield Sentence(int(number), text, spans, metadata, record, offset)


def sentence_line(
    text: str, spans: Sequence[TokenSpan], metadata: Mapping[str, Json], record: int, offset: int
) -> bytes:
    """A window as its line of sentences.jsonl; spans follow one another, so their lengths say all."""
    lengths = [span.end - span.start for span in spans]
    return json.dumps([text, lengths, metadata, record, offset], ensure_ascii=False).encode() + b"\n"
