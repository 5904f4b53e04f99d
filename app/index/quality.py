"""How much the SAE keeps: explained variance and cross-entropy recovered, over a sample of the corpus."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.engine.sae import written_at
from app.engine.tokens import Window
from app.index.checkpoints import Checkpoints
from app.index.reader import Reader

BATCH = 16  # sentences
REMEDY = "free some of it and repeat the command, or repeat it with --quality-tokens 0: either goes on"
LOGITS = 1 << 28  # of a batch's full forward, 1 GB: a token has as many as the vocabulary has words


@dataclass(frozen=True)
class Kept:
    """explained_variance: 1 - E|x - x_hat|^2 / E|x - E x|^2; ce_recovered: (zeroed - spliced) / (zeroed - clean).

    n_tokens: over how many unmasked tokens. None where the sample cannot tell (no variance, no next token).
    """

    explained_variance: float | None
    ce_recovered: float | None
    n_tokens: int


@dataclass(frozen=True)
class QualitySums:
    """Over the tokens of some sentences. x: (d_out,) activations; moments: (3,) how many tokens, |x|^2, |x - x_hat|^2.

    losses: (3,) clean, spliced, zeroed.
    """

    x: NDArray[np.float64]
    moments: NDArray[np.float64]
    losses: NDArray[np.float64]


@torch.inference_mode()
def measure(reader: Reader, texts: Iterable[str], checkpoints: Checkpoints) -> Kept:
    """One plain forward, one with the reconstruction in place of the activations, one with zeros; BOS is left alone.

    What a transcoder makes of one place stands in for the activations of another. An encoder has no loss to recover:
    its activations are read alone.
    """
    special = torch.tensor(sorted(set(reader.model.tokenizer.all_special_ids)), device=reader.model.device)
    x, moments, losses = np.zeros(reader.sae.d_out), np.zeros(3), np.zeros(3)
    end = 0
    for some in _batches(reader, texts):
        begin, end = end, end + len(some)
        sums = checkpoints.once(QualitySums, begin, end, partial(_summed, reader, some, special))
        x += sums.x
        moments += sums.moments
        losses += sums.losses
    n, square, error = moments.tolist()
    clean, spliced, zeroed = losses.tolist()
    variance = square - float(np.square(x).sum()) / max(n, 1)
    return Kept(
        explained_variance=1 - error / variance if variance > 1e-12 * square else None,
        ce_recovered=(zeroed - spliced) / (zeroed - clean) if abs(zeroed - clean) > 1e-9 else None,
        n_tokens=int(n),
    )


def _batches(reader: Reader, texts: Iterable[str]) -> Iterator[list[Window]]:
    n_logits = reader.model.n_vocabulary if reader.model.has_logits else 0
    some: list[Window] = []
    longest = 0
    for text in texts:
        for window in reader.windows(text)[:1]:
            if not window.token_ids:
                continue
            longest = max(longest, len(window.token_ids) + len(reader.bos))
            if len(some) == BATCH or (some and (len(some) + 1) * longest * n_logits > LOGITS):
                yield some
                some, longest = [], len(window.token_ids) + len(reader.bos)
            some.append(window)
    if some:
        yield some


def _summed(reader: Reader, some: Sequence[Window], special: Tensor) -> QualitySums:
    """The sums of these sentences, of each half by itself where the device's memory is too small for all."""
    try:
        return _sums(reader, some, special)
    except torch.OutOfMemoryError:
        if len(some) == 1:
            with reader.within_memory("a whole forward of one sentence", REMEDY):
                raise
    half = len(some) // 2
    one, other = _summed(reader, some[:half], special), _summed(reader, some[half:], special)
    return QualitySums(one.x + other.x, one.moments + other.moments, one.losses + other.losses)


def _sums(reader: Reader, some: Sequence[Window], special: Tensor) -> QualitySums:
    ids, mask = reader.batch(some)
    text = mask.bool()
    text[:, : len(reader.bos)] = False
    text &= ~torch.isin(ids, special)
    out = written_at(reader.sae, reader.hook)
    seen: list[Tensor] = []

    def read(x: Tensor) -> Tensor:
        seen.append(reader.sae.reconstruct(x[text]))
        return x

    def splice(y: Tensor) -> Tensor:
        through = y.clone()
        through[text] = seen.pop().to(y.dtype)
        seen.extend((y[text].cpu().double(), through[text].cpu().double()))
        return through

    def zero(x: Tensor) -> Tensor:
        return x.masked_fill(text[:, :, None], 0.0)

    if not reader.model.has_logits:
        x, y = reader.model.capture_each(ids, mask, [reader.hook, out])
        read(x)
        splice(y)
    predicted = text[:, 1:] & mask[:, :-1].bool()
    losses = np.zeros(3)
    for i, change in enumerate((None, splice, zero) if reader.model.has_logits else ()):
        with reader.model.changed(ids.shape, [(reader.hook, read)] if change is splice else []):
            logits = reader.model.logits(ids, mask, out if change else None, change)
        loss = torch.nn.functional.cross_entropy(
            logits[:, :-1][predicted].float(), ids[:, 1:][predicted], reduction="sum"
        )
        losses[i] = float(loss)
    y, through = seen
    moments = [float(len(y)), float(y.square().sum()), float((y - through).square().sum())]
    return QualitySums(y.sum(dim=0).numpy(), np.array(moments), losses)
