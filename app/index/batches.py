"""Batches of a chunk through model and SAE, side by side on a processor with several cores."""

import copy
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.engine.language_model import LanguageModel
from app.errors import Invalid
from app.index.fired import Fired, fired
from app.index.pieces import Placed
from app.index.progress import say
from app.index.reader import LEAST_POSITIONS, Reader
from app.index.recording import Float32, Int64, UInt32
from app.index.workers import Workers


@dataclass(frozen=True)
class ChunkTokens:
    """The token rows of a chunk's windows, one window's after another's. lengths: rows of each window.

    masked: (n_rows,) rows that are read and not recorded.
    """

    windows: Sequence[Placed]
    lengths: Int64
    ids: UInt32
    masked: NDArray[np.bool_]


@dataclass(frozen=True)
class Computed:
    """A batch. fired: by rows of the chunk. rows: those that were read, with the norm of what the SAE read there."""

    fired: Fired
    rows: Int64
    norms: Float32 | None


class BatchSize:
    """Positions a batch; fewer from when the device's memory turns out too small."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    def lower(self, tokens: int) -> None:
        """Said and done once, though all batches that were cut before may be too large."""
        if tokens < self.tokens:
            self.tokens = tokens
            say(f"The device's memory is too small for that batch; going on with --batch-tokens {tokens}.")


REMEDY = "give --dtype bfloat16, a smaller --context, or another --device"


class Batches:
    """Computes batches in threads of its own, in which torch uses one thread each.

    Products that are shared out leave threads waiting, for one another and for all that is no product; products side by
    side do not. A batch is the smaller the more of them there are: together they hold as many tokens as asked.
    """

    def __init__(self, reader: Reader, with_norms: bool) -> None:
        side_by_side = reader.model.device.type == "cpu" and not hasattr(reader.model.model, "hf_device_map")
        n = torch.get_num_threads() if side_by_side else 1
        self._readers: SimpleQueue[Reader] = SimpleQueue()
        for i in range(n):
            self._readers.put(_twin(reader) if i else reader)
        self._n_bos = len(reader.bos)
        self._with_norms = with_norms
        self._size = BatchSize(max(reader.batch_tokens // n, min(LEAST_POSITIONS, reader.batch_tokens)))
        self._workers = Workers(n)

    def __enter__(self) -> "Batches":
        self._workers.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._workers.__exit__(*error)

    def submit(self, chunk: ChunkTokens) -> list[Future[list[Computed]]]:
        most = self._size.tokens
        batches = _batches(self._n_bos, most, chunk.lengths)
        return [self._workers.submit(self._compute, chunk, batch, most) for batch in batches]

    def _compute(self, chunk: ChunkTokens, batch: list[int], most: int) -> list[Computed]:
        """One, or several where the device's memory was too small. batch: which windows of the chunk.

        most: positions that it was cut for.
        """
        reader = self._readers.get()
        try:
            return [_computed(reader, chunk, batch, self._with_norms)]
        except torch.OutOfMemoryError:
            if len(batch) == 1 or most <= LEAST_POSITIONS:  # a smaller one is padded to as many
                with reader.within_memory("the smallest batch", REMEDY):
                    raise
        finally:
            self._readers.put(reader)
        self._size.lower(most // 2)
        half = len(batch) // 2
        return self._compute(chunk, batch[:half], most // 2) + self._compute(chunk, batch[half:], most // 2)


def _twin(reader: Reader) -> Reader:
    """A reader with modules of its own around the same weights: what is captured hangs on modules."""
    model = reader.model
    shared: dict[int, Any] = {id(tensor): tensor for tensor in (*model.model.parameters(), *model.model.buffers())}
    own = LanguageModel(model.name, copy.deepcopy(model.model, shared), model.tokenizer, model.family)
    return replace(reader, model=own)


def _computed(reader: Reader, chunk: ChunkTokens, batch: list[int], with_norms: bool) -> Computed:
    lengths = chunk.lengths
    starts = np.concatenate([[0], np.cumsum(lengths)])
    stream = reader.stream([chunk.ids[starts[i] : starts[i + 1]].tolist() for i in batch])
    rows = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in batch])
    first = np.arange(len(batch)) * stream.shape[1] + len(reader.bos)
    # Where each token row stands in the batch, all its positions in a line.
    places = rows + np.repeat(first - starts[batch], lengths[batch])
    kept = ~chunk.masked[rows]
    rows, places = rows[kept], places[kept]
    flat = stream.flatten(0, 1) if stream.ndim == 3 else stream.flatten(0, 1).flatten(1)
    # Without padding and masked tokens every place is read, in order.
    read = flat if len(places) == len(flat) else flat[torch.from_numpy(places).to(flat.device)]
    # A sum takes a tenth of the time that looking at each takes, and is not finite where one is not.
    if not read.sum().isfinite() and not torch.isfinite(read).all():
        _refuse_not_finite(reader, chunk.windows, starts, rows, read)
    norms = read.float().norm(dim=1).cpu().numpy() if with_norms else None
    found = fired(reader.sae, read)
    return Computed(Fired(rows.astype(np.uint32)[found.tokens], found.features, found.values), rows, norms)


def _batches(n_bos: int, most: int, lengths: Int64) -> Iterator[list[int]]:
    """Windows of a chunk in batches of at most `most` positions, like lengths together for little padding."""
    batch: list[int] = []
    for i in np.argsort(-lengths, kind="stable").tolist():
        longest = int(lengths[batch[0] if batch else i]) + n_bos
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
