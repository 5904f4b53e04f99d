"""Recording: the corpus run through model and SAE once, every activation above 0 kept."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from app.index.batches import Batches, ChunkTokens, Computed
from app.index.fired import joined
from app.index.pieces import Piece, Placed
from app.index.reader import Reader
from app.index.recording import MASKED, ROW_BITS, Chunk, RecordingWriter

CHUNK_TOKENS = 1 << ROW_BITS
_WAITING = 2  # chunks under way

Report = Callable[[int, int, int], None]  # bytes read, tokens done, features seen alive


def record_corpus(
    reader: Reader, pieces: Iterable[Piece], writer: RecordingWriter, report: Report, checkpoint_seconds: float
) -> None:
    """Record pieces that are not recorded yet. Chunks depend on a piece alone, not on where a build stopped.

    Sorting and writing a chunk overlaps computing the next.
    """
    if writer.progress.complete:
        return
    alive = np.zeros(reader.sae.n_features, dtype=bool)
    saved = time.monotonic()
    n_tokens = writer.progress.n_tokens
    # Where something goes wrong no more batches begin, so that those who wait for them in the other end too.
    with ThreadPoolExecutor(1) as pool, Batches(reader, writer.with_norms) as batches:
        waiting: list[Future[None]] = []
        for piece in pieces:
            for placed in _chunks(piece):
                tokens = _tokens(reader, placed)
                computed = batches.submit(tokens)
                n_bos = len(placed) * len(reader.bos)
                waiting.append(pool.submit(_write, writer, piece, tokens, n_bos, computed, alive))
                _settle(waiting, _WAITING)
                n_tokens += len(tokens.ids)
            due = time.monotonic() - saved > checkpoint_seconds
            _settle(waiting, 0 if due else _WAITING)
            waiting.append(pool.submit(_finish_piece, writer, piece, due))
            saved = time.monotonic() if due else saved
            report(piece.read, n_tokens, int(alive.sum()))
        waiting.append(pool.submit(writer.complete))
        _settle(waiting, 0)


def _settle(waiting: list["Future[None]"], n: int) -> None:
    """Waits until no more than n are under way; raises what went wrong in one."""
    while len(waiting) > n:
        waiting.pop(0).result()


def _finish_piece(writer: RecordingWriter, piece: Piece, save: bool) -> None:
    writer.finish_piece(piece)
    if save:
        writer.checkpoint()


def _chunks(piece: Piece) -> Iterator[Sequence[Placed]]:
    """The windows of a piece, as many at a time as CHUNK_TOKENS allow."""
    begin = n_tokens = 0
    for i, placed in enumerate(piece.windows):
        n = len(placed.window.token_ids)
        if n_tokens + n > CHUNK_TOKENS:
            yield piece.windows[begin:i]
            begin, n_tokens = i, 0
        n_tokens += n
    if begin < len(piece.windows):
        yield piece.windows[begin:]


def _tokens(reader: Reader, some: Sequence[Placed]) -> ChunkTokens:
    ids = np.concatenate([np.asarray(placed.window.token_ids, dtype=np.uint32) for placed in some])
    lengths = np.array([len(placed.window.token_ids) for placed in some], dtype=np.int64)
    return ChunkTokens(some, lengths, ids, np.isin(ids, reader.special_ids))


def _write(
    writer: RecordingWriter,
    piece: Piece,
    tokens: ChunkTokens,
    n_bos: int,
    computed: Sequence["Future[list[Computed]]"],
    alive: NDArray[np.bool_],
) -> None:
    """The chunk of these tokens, once its batches are there."""
    with writer.giving_up_on_errors():
        parts = [part for future in computed for part in future.result()]
        found = joined([part.fired for part in parts])
        norms = np.zeros(len(tokens.ids), np.float32) if writer.with_norms else None
        for part in parts:
            if norms is not None and part.norms is not None:
                norms[part.rows] = part.norms
        alive[found.features] = True
        chunk = Chunk(
            piece=piece.number,
            n_bos=n_bos,
            lengths=tokens.lengths.astype(np.uint32),
            token_ids=np.where(tokens.masked, MASKED, tokens.ids),
            rows=found.tokens,
            features=found.features,
            values=found.values,
            norms=norms,
            windows=tokens.windows,
        )
        writer.append(chunk)
