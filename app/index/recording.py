"""A recording: every activation above 0 of a corpus, on disk, in the order in which it is reduced.

The corpus is recorded in chunks of windows. Within a chunk firings are sorted by feature, then by token; so a block of
features is one stretch of every chunk. All files only grow; `manifest.json` says how much of each is valid, which makes
a checkpoint of it: whatever lies beyond was written by a process that died, and is cut off when recording goes on.
"""

import contextlib
import hashlib
import json
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from app.domain import Json
from app.index.pieces import Piece, Placed
from app.store.blobs import pack_lengths

UInt32 = NDArray[np.uint32]
Int64 = NDArray[np.int64]
Float32 = NDArray[np.float32]

MANIFEST = "manifest.json"
MASKED = np.uint32(0xFFFFFFFF)  # the token id of a special token inside a text
ROW_BITS = 15  # a chunk has no more than 2^15 token rows, so that a firing's row takes two bytes
_FEATURE_BITS = 64 - 32 - ROW_BITS
CHUNK = np.dtype(
    [("piece", "<u4"), ("n_windows", "<u4"), ("n_rows", "<u4"), ("n_bos", "<u4"), ("n_firings", "<u8")],
)
SENTENCE = struct.Struct("<IIIQQ")  # bytes of text, boundaries and metadata, then record and offset
FILES = (
    "chunks",  # CHUNK
    "counts.u32",  # firings of each feature in each chunk: (n_chunks, n_features)
    "rows.u16",  # a firing's token row, counted in its chunk
    "values.f32",  # and its activation
    "token_ids.u32",  # a token row's id, MASKED where it is no token of statistics
    "norms.f32",  # the norm of what the SAE reads at a token row; empty unless outliers are masked
    "window_tokens.u32",  # token rows of each window
    "window_hashes.u64",  # 16 bytes: a hash of each window's text
    "window_bytes.u32",  # bytes of each window in `sentences`
    "sentences",  # SENTENCE, text, boundaries and metadata of each window
)


@dataclass(frozen=True)
class Chunk:
    """A run of windows with all their firings, in any order. lengths: token rows of each window.

    rows, features, values: (n_firings,); norms: (n_rows,) or None.
    """

    piece: int
    n_bos: int
    lengths: UInt32
    token_ids: UInt32
    rows: NDArray[np.integer]
    features: NDArray[np.integer]
    values: Float32
    norms: Float32 | None
    windows: Sequence[Placed]


@dataclass(frozen=True)
class Progress:
    """How far a recording is: pieces below n_pieces are done. n_tokens: token rows."""

    n_pieces: int = 0
    n_tokens: int = 0
    complete: bool = False


class RecordingWriter:
    """Appends chunks. Opened on a folder with a manifest of the same identity it goes on where that one stopped."""

    def __init__(self, folder: Path, identity: Mapping[str, Json], n_features: int, with_norms: bool) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.identity = dict(identity)
        self.n_features = n_features
        self.with_norms = with_norms
        manifest = read_manifest(folder)
        self.sizes: dict[str, int] = dict.fromkeys(FILES, 0)
        self.progress = Progress()
        if manifest is not None:
            self.sizes = manifest["sizes"]
            self.progress = Progress(**manifest["progress"])
        self._marked = dict(self.sizes)
        self._saved = self.progress
        self._broken: BaseException | None = None
        self.files: dict[str, BinaryIO] = {}
        for name in FILES:
            file = (folder / name).open("ab")
            file.truncate(self.sizes[name])
            file.seek(self.sizes[name])
            self.files[name] = file

    def append(self, chunk: Chunk) -> None:
        self._check_whole()
        with self.giving_up_on_errors():
            self._append(chunk)

    @contextlib.contextmanager
    def giving_up_on_errors(self) -> Iterator[None]:
        """What goes wrong inside leaves a gap: nothing is appended or marked behind it, whoever asked before."""
        try:
            yield
        except BaseException as error:
            self._broken = error
            raise

    def _append(self, chunk: Chunk) -> None:
        rows, values, counts = sort_firings(chunk, self.n_features)
        entry = (chunk.piece, len(chunk.lengths), len(chunk.token_ids), chunk.n_bos, len(rows))
        self._write("chunks", np.array([entry], CHUNK).tobytes())
        self._write("counts.u32", counts.astype(np.uint32).tobytes())
        self._write("rows.u16", rows.tobytes())
        self._write("values.f32", values.tobytes())
        self._write("token_ids.u32", chunk.token_ids.tobytes())
        self._write("window_tokens.u32", chunk.lengths.tobytes())
        if chunk.norms is not None:
            self._write("norms.f32", chunk.norms.tobytes())
        sentences = [_sentence(placed) for placed in chunk.windows]
        self._write("sentences", b"".join(sentences))
        self._write("window_bytes.u32", np.array([len(one) for one in sentences], np.uint32).tobytes())
        texts = (placed.window.text.encode() for placed in chunk.windows)
        self._write("window_hashes.u64", b"".join(hashlib.blake2b(text, digest_size=16).digest() for text in texts))

    def finish_piece(self, piece: Piece) -> None:
        """What is appended so far belongs together: a recording goes on from here, whatever is appended after."""
        self._check_whole()
        self.progress = Progress(piece.number + 1, self.sizes["token_ids.u32"] // 4)
        self._marked = dict(self.sizes)

    def complete(self) -> None:
        self._check_whole()
        self.progress = Progress(self.progress.n_pieces, self.progress.n_tokens, complete=True)
        self.checkpoint()

    def checkpoint(self) -> None:
        """Everything up to the mark is on disk before the manifest says so."""
        for file in self.files.values():
            file.flush()
            os.fsync(file.fileno())
        manifest = {"identity": self.identity, "sizes": self._marked, "progress": asdict(self.progress)}
        draft = self.folder / (MANIFEST + ".new")
        with draft.open("w", encoding="utf-8") as text:
            json.dump(manifest, text)
            text.flush()
            os.fsync(text.fileno())
        draft.replace(self.folder / MANIFEST)
        self._saved = self.progress

    def close(self) -> None:
        """Also when the build is interrupted: then the next one goes on from the last mark."""
        if self.progress != self._saved:
            with contextlib.suppress(OSError):
                self.checkpoint()
        for file in self.files.values():
            # A full disk was reported by the write that met it; closing has nothing to add.
            with contextlib.suppress(OSError):
                file.close()

    def _check_whole(self) -> None:
        """Raises what went wrong before: part of a chunk may be there, or one is missing."""
        if self._broken is not None:
            raise self._broken

    def _write(self, name: str, data: bytes) -> None:
        self.files[name].write(data)
        self.sizes[name] += len(data)


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a recording, or None where there is none yet (or it is damaged: then recording begins anew)."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    sizes = manifest.get("sizes", {})
    if set(sizes) != set(FILES):
        return None
    whole = all((folder / name).exists() and (folder / name).stat().st_size >= size for name, size in sizes.items())
    return manifest if whole else None


def sort_firings(chunk: Chunk, n_features: int) -> tuple[NDArray[np.uint16], Float32, Int64]:
    """Rows and values by feature, then row; and how many firings each feature has.

    Feature, row and value fit into 64 bits for 2^17 features at a time, and plain integers sort fastest of all.
    """
    counts = np.bincount(chunk.features, minlength=n_features)
    keys = []
    for first in range(0, n_features, 1 << _FEATURE_BITS):
        features, rows, values = chunk.features, chunk.rows, chunk.values
        if n_features > 1 << _FEATURE_BITS:
            features = features.astype(np.int64) - first
            inside = (features >= 0) & (features < 1 << _FEATURE_BITS)
            features, rows, values = features[inside], rows[inside], values[inside]
        key = features.astype(np.uint64) << np.uint64(32 + ROW_BITS)
        key |= rows.astype(np.uint64) << np.uint64(32)
        key |= values.view(np.uint32)
        key.sort()
        keys.append(key)
    key = np.concatenate(keys) if len(keys) > 1 else keys[0]
    rows16 = ((key >> np.uint64(32)) & np.uint64((1 << ROW_BITS) - 1)).astype(np.uint16)
    return rows16, key.astype(np.uint32).view(np.float32), counts


def _sentence(placed: Placed) -> bytes:
    window, record = placed.window, placed.record
    text = window.text.encode()
    boundaries = pack_lengths([span.end - span.start for span in window.spans])
    details = (
        json.dumps(record.metadata, ensure_ascii=False, separators=(",", ":")).encode() if record.metadata else b""
    )
    head = SENTENCE.pack(len(text), len(boundaries), len(details), placed.record_number, window.offset)
    return head + text + boundaries + details
