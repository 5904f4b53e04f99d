"""Recording: the corpus run through model and SAE once, every activation above 0 kept."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.engine.hook_points import HookPoint
from app.engine.language_model import LanguageModel
from app.engine.nonlinearities import JumpRelu, Relu, TopK
from app.engine.sae import Sae
from app.engine.tokens import Window, windows
from app.errors import Invalid
from app.index.pieces import Piece, Placed
from app.index.progress import say
from app.index.recording import MASKED, ROW_BITS, Chunk, Int64, RecordingWriter, UInt32

CHUNK_TOKENS = 1 << ROW_BITS
CHECKPOINT_SECONDS = 30.0
# Batches keep to these, so that a matrix product treats every token alike, whatever stands beside it in the batch:
# sentences that begin alike get the same activations to the last bit, at any batch size.
LENGTH_STEP = 16  # rows are padded to a multiple of this
LEAST_POSITIONS = 1024  # a batch is padded with empty rows to this many
LEAST_TOKENS = 256  # and what the SAE reads at once with empty tokens to this many
_ENCODED = 1 << 22  # activations held at once (16 MB in float32): they stay in the cache until they are looked through
_WAITING = 2  # chunks computed that may wait to be written


@dataclass(frozen=True)
class Reader:
    """What turns texts into activations: the model, the SAE, where they meet, and how texts are fed."""

    model: LanguageModel
    sae: Sae
    hook: HookPoint
    context: int
    prepend_bos: bool
    batch_tokens: int

    @property
    def bos(self) -> list[int]:
        token = self.model.bos_id
        return [token] if self.prepend_bos and token is not None else []

    @property
    def special_ids(self) -> NDArray[np.int64]:
        """Tokens that are masked wherever they stand."""
        return np.array(sorted(set(self.model.tokenizer.all_special_ids)), dtype=np.int64)

    def windows(self, text: str) -> list[Window]:
        return windows(self.model.tokenizer, text, self.context - len(self.bos))

    def batch(self, some: Sequence[Window]) -> tuple[Tensor, Tensor]:
        """Windows padded on the right to one length -> ids and mask, (n_windows, n_positions) each."""
        ids, lengths = self._padded([window.token_ids for window in some], 1)
        mask = np.arange(ids.shape[1]) < lengths[:, None]
        device = self.model.device
        return torch.from_numpy(ids).to(device), torch.from_numpy(mask.astype(np.int64)).to(device)

    def _padded(self, token_ids: Sequence[Sequence[int]], step: int) -> tuple[Int64, Int64]:
        """Ids with BOS before and zeros behind, to a length that is a multiple of step; and each row's own length."""
        bos = self.bos
        lengths = np.array([len(ids) + len(bos) for ids in token_ids], dtype=np.int64)
        longest = min(-(-int(lengths.max()) // step) * step, max(self.model.context, int(lengths.max())))
        padded = np.zeros((len(token_ids), longest), dtype=np.int64)
        padded[:, : len(bos)] = bos
        for row, ids in zip(padded, token_ids, strict=True):
            row[len(bos) : len(bos) + len(ids)] = ids
        return padded, lengths

    @torch.inference_mode()
    def stream(self, token_ids: Sequence[Sequence[int]]) -> Tensor:
        """(n_rows, n_positions, d_in) at the hook for these rows of ids, BOS before each; more rows and positions than
        asked, which are padding. A causal model's tokens never look at the padding behind them, so that nothing is
        masked; an encoder's do."""
        ids, lengths = self._padded(token_ids, LENGTH_STEP)
        n_rows = max(len(ids), -(-LEAST_POSITIONS // ids.shape[1]))
        fed = torch.zeros(n_rows, ids.shape[1], dtype=torch.int64)
        fed[: len(ids)] = torch.from_numpy(ids)
        mask = torch.ones_like(fed)
        if self.model.family.encoder:
            mask[: len(ids)] = torch.from_numpy(np.arange(ids.shape[1]) < lengths[:, None])
        if self.model.device.type == "cuda":
            fed = fed.pin_memory()
        device = self.model.device
        return self.model.capture(fed.to(device, non_blocking=True), mask.to(device), self.hook)


@dataclass(frozen=True)
class Fired:
    """Activations above 0. tokens: which of the tokens that were read; features; values: all of one length."""

    tokens: Int64
    features: Int64
    values: NDArray[np.float32]


class BatchSize:
    """Positions a batch; fewer from when the device's memory turns out too small."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    def halve(self) -> None:
        self.tokens //= 2
        say(f"The device's memory is too small for that batch; going on with --batch-tokens {self.tokens}.")


Report = Callable[[int, int, int], None]  # bytes read, tokens done, features seen alive


def record_corpus(reader: Reader, pieces: Iterable[Piece], writer: RecordingWriter, report: Report) -> None:
    """Record pieces that are not recorded yet. Chunks depend on a piece alone, not on where a build stopped.

    Sorting and writing a chunk overlaps computing the next.
    """
    if writer.progress.complete:
        return
    alive = np.zeros(reader.sae.n_features, dtype=bool)
    saved = time.monotonic()
    n_tokens = writer.progress.n_tokens
    size = BatchSize(reader.batch_tokens)
    with ThreadPoolExecutor(1) as pool:
        waiting: list[Future[None]] = []
        for piece in pieces:
            for placed in _chunks(piece):
                n_tokens += _record_chunk(reader, size, piece, placed, writer, alive, pool, waiting)
            due = time.monotonic() - saved > CHECKPOINT_SECONDS
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


def _record_chunk(
    reader: Reader,
    size: BatchSize,
    piece: Piece,
    some: Sequence[Placed],
    writer: RecordingWriter,
    alive: NDArray[np.bool_],
    pool: ThreadPoolExecutor,
    waiting: list["Future[None]"],
) -> int:
    """Compute one chunk, have it written, and return its token rows, which count through its windows in order."""
    lengths = np.array([len(placed.window.token_ids) for placed in some], dtype=np.int64)
    ids = np.concatenate([np.asarray(placed.window.token_ids, dtype=np.uint32) for placed in some])
    masked = np.isin(ids, reader.special_ids)
    found, norms = _fired(reader, size, some, ids, lengths, masked, writer.with_norms)
    alive[found.features] = True
    ids[masked] = MASKED
    chunk = Chunk(
        piece=piece.number,
        n_bos=len(some) * len(reader.bos),
        lengths=lengths.astype(np.uint32),
        token_ids=ids,
        rows=found.tokens,
        features=found.features,
        values=found.values,
        norms=norms,
        windows=some,
    )
    _settle(waiting, _WAITING)
    waiting.append(pool.submit(writer.append, chunk))
    return len(ids)


def _fired(
    reader: Reader,
    size: BatchSize,
    some: Sequence[Placed],
    ids: UInt32,
    lengths: Int64,
    masked: NDArray[np.bool_],
    with_norms: bool,
) -> tuple[Fired, NDArray[np.float32] | None]:
    """All firings of a chunk, by its token rows; and the norm of what the SAE reads at each row where asked."""
    starts = np.concatenate([[0], np.cumsum(lengths)])
    parts: list[Fired] = []
    norms = np.zeros(len(ids), np.float32) if with_norms else None

    def run(batch: list[int]) -> None:
        stream = reader.stream([ids[starts[i] : starts[i + 1]].tolist() for i in batch])
        rows = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in batch])
        first = np.arange(len(batch)) * stream.shape[1] + len(reader.bos)
        # Where each token row stands in the batch, all its positions in a line.
        places = rows + np.repeat(first - starts[batch], lengths[batch])
        kept = ~masked[rows]
        rows, places = rows[kept], places[kept]
        flat = stream.flatten(0, 1) if stream.ndim == 3 else stream.flatten(0, 1).flatten(1)
        read = flat[torch.from_numpy(places).to(flat.device)]
        if not torch.isfinite(read).all():
            _refuse_not_finite(reader, some, starts, rows, read)
        if norms is not None:
            norms[rows] = read.float().norm(dim=1).cpu().numpy()
        found = fired(reader.sae, read)
        parts.append(Fired(rows[found.tokens], found.features, found.values))

    todo = deque(_batches(reader, size.tokens, lengths))
    while todo:
        batch = todo.popleft()
        try:
            run(batch)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
            size.halve()
            todo.extendleft((batch[: len(batch) // 2], batch[len(batch) // 2 :]))
    return _joined(parts), norms


@torch.inference_mode()
def fired(sae: Sae, read: Tensor) -> Fired:
    """read: (n_tokens, d_in) -> its activations above 0, token by token."""
    n_tokens = len(read)
    if n_tokens < LEAST_TOKENS:
        read = torch.cat([read, read.new_zeros(LEAST_TOKENS - n_tokens, *read.shape[1:])])
    step = encoded_at_once(sae)
    # The last block takes the rest too, so that none is smaller than the others.
    begins = list(range(0, max(len(read) - step, 0) + 1, step))
    parts = []
    for begin, end in zip(begins, [*begins[1:], len(read)], strict=True):
        found = _fires(sae, read[begin:end])
        parts.append(Fired(found.tokens + begin, found.features, found.values))
    found = _joined(parts)
    n = int(np.searchsorted(found.tokens, n_tokens))
    return Fired(found.tokens[:n], found.features[:n], found.values[:n])


def encoded_at_once(sae: Sae) -> int:
    """Tokens."""
    return max(LEAST_TOKENS, _ENCODED // sae.n_features)


def _fires(sae: Sae, x: Tensor) -> Fired:
    """What is above 0 of sae.encode(x), without writing the zeros in between where the nonlinearity allows it."""
    if isinstance(sae.nonlinearity, TopK):
        return _of_strongest(*sae.nonlinearity.strongest(sae.pre_activations(x)))
    if isinstance(sae.nonlinearity, Relu):
        acts = sae.pre_activations(x)
        return _where(acts, acts > 0)
    if isinstance(sae.nonlinearity, JumpRelu):
        acts = sae.pre_activations(x)
        return _where(acts, acts > sae.nonlinearity.threshold.clamp(min=0))
    acts = sae.encode(x)
    return _where(acts, acts > 0)


def _of_strongest(values: Tensor, features: Tensor) -> Fired:
    """values, features: (n_tokens, k)"""
    above = (values > 0).cpu().numpy()
    tokens = np.repeat(np.arange(len(above)), above.sum(axis=1))
    return Fired(tokens, features.cpu().numpy()[above], values.float().cpu().numpy()[above])


def _where(acts: Tensor, fires: Tensor) -> Fired:
    """acts, fires: (n_tokens, n_features)"""
    n_tokens, n_features = acts.shape
    if acts.device.type == "cpu":
        flat = np.flatnonzero(fires.numpy())  # several times as fast as torch's
        values = acts.view(-1)[torch.from_numpy(flat)].float().numpy()
    else:
        found = fires.view(-1).nonzero().view(-1)
        values = acts.view(-1)[found].float().cpu().numpy()
        flat = found.cpu().numpy()
    # Which token each belongs to, without a division: how many lie before each token's first feature.
    bounds = np.searchsorted(flat, np.arange(n_tokens + 1) * n_features)
    tokens = np.repeat(np.arange(n_tokens), np.diff(bounds))
    return Fired(tokens, flat - tokens * n_features, values)


def _joined(parts: Sequence[Fired]) -> Fired:
    if len(parts) == 1:
        return parts[0]
    return Fired(
        np.concatenate([part.tokens for part in parts]),
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.values for part in parts]),
    )


def _batches(reader: Reader, most: int, lengths: Int64) -> Iterator[list[int]]:
    """Windows of a chunk in batches of at most `most` positions, like lengths together for little padding."""
    batch: list[int] = []
    for i in np.argsort(-lengths, kind="stable").tolist():
        longest = int(lengths[batch[0] if batch else i]) + len(reader.bos)
        if batch and (len(batch) + 1) * longest > most:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _refuse_not_finite(reader: Reader, some: Sequence[Placed], starts: Int64, rows: Int64, read: Tensor) -> None:
    bad = int((~torch.isfinite(read)).flatten(1).any(dim=1).nonzero()[0, 0])
    placed = some[int(np.searchsorted(starts, rows[bad], side="right")) - 1]
    raise Invalid(
        f"{reader.model.name} gives NaN or infinity at {reader.hook} for {placed.record.file}, "
        f"line {placed.record.line} ({placed.window.text[:60]!r}); leave that sentence out, or use --dtype float32."
    )
