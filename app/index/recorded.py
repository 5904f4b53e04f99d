"""A recording read back: one, or shards of one put together, feature block by feature block."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.index.recording import CHUNK, FILES, MASKED, SENTENCE, Float32, Int64, UInt32
from app.store.write import SentenceValues

_KINDS: dict[str, Any] = {
    "chunks": CHUNK,
    "counts.u32": np.uint32,
    "rows.u16": np.uint16,
    "values.f32": np.float32,
    "token_ids.u32": np.uint32,
    "norms.f32": np.float32,
    "window_tokens.u32": np.uint32,
    "window_hashes.u64": np.dtype([("high", "<u8"), ("low", "<u8")]),
    "window_bytes.u32": np.uint32,
    "sentences": np.uint8,
}
_HALF = 1 << 16  # values of half a float's bits


@dataclass(frozen=True)
class Part:
    """Where the files of one recording lie: for each of FILES a path, where it begins there, and its bytes."""

    files: dict[str, tuple[Path, int, int]]

    def map(self, name: str) -> NDArray[Any]:
        path, offset, size = self.files[name]
        kind = np.dtype(_KINDS[name])
        if size == 0:
            return np.zeros(0, kind)
        return np.memmap(path, kind, "r", offset=offset, shape=(size // kind.itemsize,))


def part_of_folder(folder: Path) -> Part:
    """The files of a folder with a complete recording."""
    return Part({name: (folder / name, 0, (folder / name).stat().st_size) for name in FILES})


@dataclass(frozen=True)
class _StoredChunk:
    """One chunk's arrays, all mapped. counts: (n_features,); first_window: its first window's number."""

    counts: UInt32
    rows: NDArray[np.uint16]
    values: Float32
    token_ids: UInt32
    norms: Float32
    window_tokens: UInt32
    first_window: int

    def window_of_row(self) -> UInt32:
        """(n_rows,): the number of the window that each row belongs to."""
        n = len(self.window_tokens)
        return np.repeat(np.arange(self.first_window, self.first_window + n, dtype=np.uint32), self.window_tokens)

    def position_of_row(self) -> UInt32:
        """(n_rows,): where each row stands in its window."""
        starts = np.cumsum(self.window_tokens, dtype=np.uint32) - self.window_tokens
        return np.arange(len(self.token_ids), dtype=np.uint32) - np.repeat(starts, self.window_tokens)


@dataclass(frozen=True)
class Block:
    """Features first to last - 1. begins: (n_chunks,) where their firings begin in each chunk."""

    first: int
    last: int
    begins: Int64


@dataclass(frozen=True)
class Firings:
    """All firings of n features, by feature, then by place in the corpus.

    Feature first + i has those from bounds[i] to bounds[i + 1]. windows: numbers; positions: within the window.
    """

    first: int
    bounds: Int64
    windows: UInt32
    positions: UInt32
    token_ids: UInt32
    values: Float32

    @property
    def n_features(self) -> int:
        return len(self.bounds) - 1


class Recording:
    """Windows are numbered through all chunks, in the order of their pieces, whichever part holds them.

    drop_repeats: windows whose text stood before count nowhere. outlier: a row whose norm is above so many times the
    median norm counts nowhere; None masks none.
    """

    def __init__(
        self, parts: Sequence[Part], n_features: int, drop_repeats: bool = False, outlier: float | None = None
    ) -> None:
        self.n_features = n_features
        self._parts = parts
        self.chunks, self._places = _order(parts, n_features)
        self.window_tokens: UInt32 = _joined([chunk.window_tokens for chunk in self.chunks], np.uint32)
        self.originals = self._originals()
        self._drop_repeats = drop_repeats
        self._norm_limit = None if outlier is None else outlier * self._median_norm()
        self.n_special = sum(int(entry["n_bos"]) for entry, _ in self._places)
        self.n_masked = self.n_outliers = self.n_tokens = 0
        for chunk in self.chunks:
            special = np.asarray(chunk.token_ids) == MASKED
            kept = self.kept_rows(chunk)
            self.n_special += int(special.sum())
            self.n_tokens += int(kept.sum())
            if self._norm_limit is not None:
                self.n_outliers += int(((chunk.norms > self._norm_limit) & ~special).sum())

    @property
    def n_windows(self) -> int:
        return len(self.window_tokens)

    @property
    def is_original(self) -> NDArray[np.bool_]:
        """(n_windows,): whether a window is the first with its text."""
        first: NDArray[np.bool_] = self.originals == np.arange(self.n_windows)
        return first

    @property
    def counted_windows(self) -> NDArray[np.bool_]:
        """(n_windows,): those that statistics are over."""
        return self.is_original if self._drop_repeats else np.ones(self.n_windows, bool)

    def kept_rows(self, chunk: _StoredChunk) -> NDArray[np.bool_]:
        """(n_rows,): the rows that statistics are over."""
        kept: NDArray[np.bool_] = np.asarray(chunk.token_ids) != MASKED
        if self._norm_limit is not None:
            kept &= chunk.norms <= self._norm_limit
        if self._drop_repeats:
            n = len(chunk.window_tokens)
            original = self.is_original[chunk.first_window : chunk.first_window + n]
            kept &= np.repeat(original, chunk.window_tokens)
        return kept

    def blocks(self, n_firings: int) -> list[Block]:
        """All features, in blocks that hold about n_firings at once (at least one feature)."""
        of_feature = np.zeros(self.n_features, np.int64)
        for chunk in self.chunks:
            of_feature += chunk.counts
        bounds = np.concatenate([[0], np.cumsum(of_feature)])
        firsts = [0]
        while firsts[-1] < self.n_features:
            most = bounds[firsts[-1]] + n_firings
            firsts.append(max(firsts[-1] + 1, int(np.searchsorted(bounds, most, side="right")) - 1))
        begins = np.zeros((len(firsts), len(self.chunks)), np.int64)
        for c, chunk in enumerate(self.chunks):
            sums = np.add.reduceat(chunk.counts.astype(np.int64), firsts[:-1])
            begins[1:, c] = np.cumsum(sums)
        return [
            Block(first, last, begin) for first, last, begin in zip(firsts[:-1], firsts[1:], begins[:-1], strict=True)
        ]

    def firings(self, block: Block) -> Firings:
        """All that is kept of the firings of a block's features."""
        n = block.last - block.first
        filtered = self._drop_repeats or self._norm_limit is not None
        counts = np.zeros((len(self.chunks), n), np.int64)
        parts = []
        for c, (chunk, begin) in enumerate(zip(self.chunks, block.begins.tolist(), strict=True)):
            counts[c] = chunk.counts[block.first : block.last]
            inside = slice(begin, begin + int(counts[c].sum()))
            rows, values = chunk.rows[inside], chunk.values[inside]
            if filtered:
                kept = self.kept_rows(chunk)[rows]
                counts[c] = np.bincount(np.repeat(np.arange(n), counts[c])[kept], minlength=n)
                rows, values = rows[kept], values[kept]
            parts.append((chunk.window_of_row()[rows], chunk.position_of_row()[rows], chunk.token_ids[rows], values))
        bounds = np.concatenate([[0], np.cumsum(counts.sum(axis=0))])
        return Firings(block.first, bounds, *_interleaved(parts, counts, bounds))

    def sentence_values(self, numbers: Iterable[int]) -> Iterator[SentenceValues]:
        """The windows of these numbers as they are stored, in the order given."""
        return (self._sentence(number) for number in numbers)

    def texts(self, numbers: Iterable[int]) -> Iterator[str]:
        return (self._sentence(number).text for number in numbers)

    def _sentence(self, number: int) -> SentenceValues:
        c = int(np.searchsorted(self._first_windows, number, side="right")) - 1
        data, ends, first = self._sentence_files[c]
        i = number - int(self._first_windows[c]) + first
        begin = int(ends[i - 1]) if i else 0
        raw = data[begin : int(ends[i])].tobytes()
        n_text, n_boundaries, _, record, offset = SENTENCE.unpack_from(raw)
        text_end = SENTENCE.size + n_text
        boundaries_end = text_end + n_boundaries
        details = raw[boundaries_end:].decode()
        return SentenceValues(
            number=number,
            text=raw[SENTENCE.size : text_end].decode(),
            boundaries=raw[text_end:boundaries_end],
            metadata=json.loads(details) if details else {},
            record=record,
            offset=offset,
        )

    def _originals(self) -> Int64:
        """(n_windows,): the first window with the same text, which is the window itself unless it is a repeat."""
        hashes = [part.map("window_hashes.u64") for part in self._parts]
        ends = [np.cumsum(part.map("window_bytes.u32"), dtype=np.int64) for part in self._parts]
        data = [part.map("sentences") for part in self._parts]
        windows = []
        self._sentence_files = []
        for entry, where in self._places:
            windows.append(hashes[where.part][where.window : where.window + int(entry["n_windows"])])
            self._sentence_files.append((data[where.part], ends[where.part], where.window))
        self._first_windows = np.array([chunk.first_window for chunk in self.chunks], np.int64)
        texts = _joined(windows, _KINDS["window_hashes.u64"])
        order = np.lexsort((texts["low"], texts["high"]))  # stable: equal texts stay in order
        same = texts[order][1:] == texts[order][:-1]
        group = np.cumsum(np.concatenate([[True], ~same])) - 1 if len(order) else np.zeros(0, np.int64)
        firsts = order[np.flatnonzero(np.concatenate([[True], ~same]))] if len(order) else order
        originals = np.empty(len(order), np.int64)
        originals[order] = firsts[group]
        return originals

    def _median_norm(self) -> float:
        """Over all rows but special tokens; of two in the middle the lower one.

        Floats from 0 on are ordered as their bits are: the upper halves are counted, then the lower halves of those
        whose upper one is the median's. No more than a chunk's norms are held.
        """
        upper = np.zeros(_HALF, np.int64)
        for bits in self._norm_bits():
            upper += np.bincount(bits >> 16, minlength=_HALF)
        if not upper.any():
            return 0.0
        middle = (int(upper.sum()) - 1) // 2
        high = int(np.searchsorted(np.cumsum(upper), middle, side="right"))
        lower = np.zeros(_HALF, np.int64)
        for bits in self._norm_bits():
            lower += np.bincount(bits[bits >> 16 == high] & (_HALF - 1), minlength=_HALF)
        low = int(np.searchsorted(np.cumsum(lower), middle - upper[:high].sum(), side="right"))
        return float(np.uint32(high << 16 | low).view(np.float32))

    def _norm_bits(self) -> Iterator[UInt32]:
        """Of the norms of each chunk's rows but special tokens."""
        return (chunk.norms[chunk.token_ids != MASKED].view(np.uint32) for chunk in self.chunks)


@dataclass(frozen=True)
class _Where:
    """Which part holds a chunk, and its first window there."""

    part: int
    window: int


def _order(parts: Sequence[Part], n_features: int) -> tuple[list[_StoredChunk], list[tuple[Any, _Where]]]:
    """The chunks of all parts in the order of their pieces, and where each lies."""
    found = []
    for p, part in enumerate(parts):
        maps = {name: part.map(name) for name in FILES}
        firing = row = window = 0
        for c, entry in enumerate(maps["chunks"]):
            rows = slice(row, row + int(entry["n_rows"]))
            firings = slice(firing, firing + int(entry["n_firings"]))
            arrays = {
                "counts": maps["counts.u32"][c * n_features : (c + 1) * n_features],
                "rows": maps["rows.u16"][firings],
                "values": maps["values.f32"][firings],
                "token_ids": maps["token_ids.u32"][rows],
                "norms": maps["norms.f32"][rows],
                "window_tokens": maps["window_tokens.u32"][window : window + int(entry["n_windows"])],
            }
            found.append((int(entry["piece"]), p, c, entry, _Where(p, window), arrays))
            row, firing, window = rows.stop, firings.stop, window + int(entry["n_windows"])
    found.sort(key=lambda one: one[:3])
    chunks: list[_StoredChunk] = []
    first = 0
    for *_, entry, _where, arrays in found:
        chunks.append(_StoredChunk(**arrays, first_window=first))
        first += int(entry["n_windows"])
    return chunks, [(entry, where) for *_, entry, where, _ in found]


def _joined(arrays: Sequence[NDArray[Any]], kind: Any) -> NDArray[Any]:
    return np.concatenate(arrays) if arrays else np.zeros(0, kind)


def _interleaved(
    parts: Sequence[tuple[NDArray[Any], ...]], counts: Int64, bounds: Int64
) -> tuple[UInt32, UInt32, UInt32, Float32]:
    """From by chunk, then feature, to by feature, then chunk. counts: (n_chunks, n); parts: four arrays a chunk."""
    kinds = (np.uint32, np.uint32, np.uint32, np.float32)
    if len(parts) == 1:
        windows, positions, token_ids, values = (np.asarray(array) for array in parts[0])
        return windows, positions, token_ids, values
    made: list[Any] = [np.empty(bounds[-1], kind) for kind in kinds]
    filled = bounds[:-1].copy()
    for arrays, of_chunk in zip(parts, counts, strict=True):
        # Where each firing goes: its feature's place, and its own among the feature's firings of the chunk.
        places = np.repeat(filled - (np.cumsum(of_chunk) - of_chunk), of_chunk) + np.arange(len(arrays[0]))
        for whole, array in zip(made, arrays, strict=True):
            whole[places] = array
        filled += of_chunk
    windows, positions, token_ids, values = made
    return windows, positions, token_ids, values
