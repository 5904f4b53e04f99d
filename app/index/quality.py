"""How much the SAE keeps: explained variance and cross-entropy recovered, over a sample of the corpus."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.engine.sae import written_at
from app.engine.tokens import Window
from app.index.reader import Reader

BATCH = 16  # sentences; a full forward's logits are wide


@dataclass(frozen=True)
class Kept:
    """explained_variance: 1 - E|x - x_hat|^2 / E|x - E x|^2; ce_recovered: (zeroed - spliced) / (zeroed - clean).

    n_tokens: over how many unmasked tokens. None where the sample cannot tell (no variance, no next token).
    """

    explained_variance: float | None
    ce_recovered: float | None
    n_tokens: int


class _Sums:
    """Sums over tokens, in float64."""

    def __init__(self, d_model: int) -> None:
        self.n = 0
        self.x = torch.zeros(d_model, dtype=torch.float64)
        self.square = 0.0
        self.error = 0.0
        self.losses = [0.0, 0.0, 0.0]  # clean, spliced, zeroed
        self.n_predicted = 0


@torch.inference_mode()
def measure(reader: Reader, texts: Iterable[str]) -> Kept:
    """One plain forward, one with the reconstruction in place of the activations, one with zeros; BOS is left alone.

    What a transcoder makes of one place stands in for the activations of another. An encoder has no loss to recover:
    its activations are read alone.
    """
    special = torch.tensor(sorted(set(reader.model.tokenizer.all_special_ids)), device=reader.model.device)
    sums = _Sums(reader.sae.d_out)
    some: list[Window] = []
    for text in texts:
        some += [window for window in reader.windows(text)[:1] if window.token_ids]
        if len(some) >= BATCH:
            _add(reader, some, special, sums)
            some = []
    if some:
        _add(reader, some, special, sums)
    variance = sums.square - float(sums.x.square().sum()) / max(sums.n, 1)
    clean, spliced, zeroed = sums.losses
    return Kept(
        explained_variance=1 - sums.error / variance if variance > 1e-12 * sums.square else None,
        ce_recovered=(zeroed - spliced) / (zeroed - clean) if abs(zeroed - clean) > 1e-9 else None,
        n_tokens=sums.n,
    )


def _add(reader: Reader, some: Sequence[Window], special: Tensor, sums: _Sums) -> None:
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
    for i, change in enumerate((None, splice, zero) if reader.model.has_logits else ()):
        with reader.model.changed(ids.shape, [(reader.hook, read)] if change is splice else []):
            logits = reader.model.logits(ids, mask, out if change else None, change)
        loss = torch.nn.functional.cross_entropy(
            logits[:, :-1][predicted].float(), ids[:, 1:][predicted], reduction="sum"
        )
        sums.losses[i] += float(loss)
    sums.n_predicted += int(predicted.sum())
    y, through = seen
    sums.n += len(y)
    sums.x += y.sum(dim=0)
    sums.square += float(y.square().sum())
    sums.error += float((y - through).square().sum())
