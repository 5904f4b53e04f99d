"""Recording: the corpus run through model and SAE once, every activation above 0 kept."""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from app.engine.hook_points import HookPoint
from app.engine.language_model import LanguageModel
from app.engine.sae import Sae
from app.engine.tokens import Window, windows
from app.errors import Invalid
from app.index.corpus import Record
from app.index.recording import MASKED, Int64, Progress, RecordingWriter, sentence_line

CHUNK_TOKENS = 32_768
CHECKPOINT_SECONDS = 30.0


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

    def windows(self, text: str) -> list[Window]:
        return windows(self.model.tokenizer, text, self.context - len(self.bos))

    def batch(self, some: Sequence[Window]) -> tuple[Tensor, Tensor]:
        """Windows padded on the right to one length -> ids and mask, (n_windows, n_positions) each."""
        bos = self.bos
        longest = max(len(window.token_ids) for window in some) + len(bos)
        ids = torch.zeros(len(some), longest, dtype=torch.int64)
        mask = torch.zeros(len(some), longest, dtype=torch.int64)
        for row, window in enumerate(some):
            n = len(window.token_ids) + len(bos)
            ids[row, :n] = torch.tensor([*bos, *window.token_ids])
            mask[row, :n] = 1
        return ids.to(self.model.device), mask.to(self.model.device)


@dataclass(frozen=True)
class _Placed:
    """A window with where it stands: its number in the corpus, and its record."""

    window: Window
    number: int
    record_number: int
    record: Record


Report = Callable[[int, int, int], None]  # bytes read, tokens done, features seen alive


def record_corpus(reader: Reader, records: Iterable[Record], writer: RecordingWriter, report: Report) -> None:
    """Record everything that is not recorded yet. Chunks depend on the corpus alone, not on where a build stopped."""
    progress = writer.progress
    if progress.complete:
        return
    special = torch.tensor(sorted(set(reader.model.tokenizer.all_special_ids)), device=reader.model.device)
    alive = torch.zeros(reader.sae.n_features, dtype=torch.bool)
    remaining = islice(enumerate(records), progress.n_records, None)
    n_windows = writer.sizes["window_tokens.u32"] // 4
    n_tokens = writer.sizes["token_ids.u32"] // 4
    saved = time.monotonic()
    for chunk in _chunks(reader, remaining, n_windows):
        n_tokens += _record_chunk(reader, chunk, special, writer, alive)
        last = chunk[-1]
        progress = Progress(
            n_chunks=progress.n_chunks + 1,
            n_records=last.record_number + 1,
            n_special=progress.n_special + len(chunk) * len(reader.bos),
        )
        writer.mark(progress)
        if time.monotonic() - saved > CHECKPOINT_SECONDS:
            writer.checkpoint()
            saved = time.monotonic()
        report(last.record.read, n_tokens, int(alive.sum()))
    writer.mark(Progress(progress.n_chunks, progress.n_records, progress.n_special, complete=True))
    writer.checkpoint()


def _chunks(reader: Reader, records: Iterable[tuple[int, Record]], first: int) -> Iterator[list[_Placed]]:
    """Windows of whole records, CHUNK_TOKENS or a little more at a time."""
    chunk: list[_Placed] = []
    n_tokens = 0
    number = first
    for record_number, record in records:
        for window in reader.windows(record.text):
            chunk.append(_Placed(window, number, record_number, record))
            n_tokens += len(window.token_ids)
            number += 1
        if n_tokens >= CHUNK_TOKENS:
            yield chunk
            chunk, n_tokens = [], 0
    if chunk:
        yield chunk


def _record_chunk(
    reader: Reader, chunk: Sequence[_Placed], special: Tensor, writer: RecordingWriter, alive: Tensor
) -> int:
    """Append one chunk and return its token rows. Token rows count through the chunk's windows in corpus order."""
    lengths = np.array([len(placed.window.token_ids) for placed in chunk], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    keys: list[Tensor] = []
    values: list[Tensor] = []
    n_rows = int(starts[-1])
    for some in _batches(reader, lengths):
        batch = [chunk[i] for i in some]
        rows = torch.cat([torch.arange(starts[i], starts[i + 1]) for i in some]).to(reader.model.device)
        acts = _activations(reader, batch, special)
        features, tokens = acts.T.nonzero(as_tuple=True)
        keys.append((features * n_rows + rows[tokens]).cpu())
        values.append(acts.T[features, tokens].float().cpu())
    order = torch.argsort(key := torch.cat(keys))
    key = key[order]
    features = key // n_rows
    counts = torch.bincount(features, minlength=reader.sae.n_features)
    alive |= counts > 0
    first_row = writer.sizes["token_ids.u32"] // 4
    ids = np.concatenate([np.array(placed.window.token_ids, dtype=np.uint32) for placed in chunk])
    ids[np.isin(ids, special.cpu().numpy())] = MASKED
    writer.append("rows.u32", (key % n_rows + first_row).numpy().astype(np.uint32))
    writer.append("values.f32", torch.cat(values)[order].numpy())
    writer.append("counts.u32", counts.numpy().astype(np.uint32))
    writer.append("token_ids.u32", ids)
    writer.append("window_tokens.u32", lengths.astype(np.uint32))
    for placed in chunk:
        window, record = placed.window, placed.record
        text_hash = hashlib.blake2b(window.text.encode(), digest_size=16).digest()
        writer.append("window_texts.u64", text_hash)
        line = sentence_line(window.text, window.spans, record.metadata, placed.record_number, window.offset)
        writer.append("sentences.jsonl", line)
        writer.append("sentence_ends.u64", np.array([writer.sizes["sentences.jsonl"]], dtype=np.uint64))
    return n_rows


def _batches(reader: Reader, lengths: Int64) -> Iterator[list[int]]:
    """Windows of a chunk in batches of at most batch_tokens positions, like lengths together for little padding."""
    batch: list[int] = []
    for i in np.argsort(lengths, kind="stable")[::-1].tolist():
        longest = int(lengths[batch[0] if batch else i]) + len(reader.bos)
        if batch and (len(batch) + 1) * longest > reader.batch_tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


@torch.inference_mode()
def _activations(reader: Reader, batch: Sequence[_Placed], special: Tensor) -> Tensor:
    """(n_tokens, n_features) of all tokens of the windows, one window after another; special tokens' rows are 0."""
    ids, mask = reader.batch([placed.window for placed in batch])
    stream = reader.model.capture(ids, mask, reader.hook)
    text = mask.bool()
    text[:, : len(reader.bos)] = False
    read = stream[text]
    if not torch.isfinite(read).all():
        _refuse_not_finite(reader, batch, stream, text)
    acts = reader.sae.encode(read)
    return acts * ~torch.isin(ids[text], special)[:, None]


def _refuse_not_finite(reader: Reader, batch: Sequence[_Placed], stream: Tensor, text: Tensor) -> None:
    bad = (~torch.isfinite(stream)).any(dim=2) & text
    placed = batch[int(bad.any(dim=1).nonzero()[0, 0])]
    raise Invalid(
        f"{reader.model.name} gives NaN or infinity at {reader.hook} for {placed.record.file}, "
        f"line {placed.record.line} ({placed.window.text[:60]!r}); leave that sentence out, or use --dtype float32."
    )
