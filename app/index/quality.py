"""How much the SAE keeps: explained variance and cross-entropy recovered, over a sample of the corpus."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.engine.tokens import Window
from app.index.record import Reader

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

    An encoder has no loss to recover: its activations are read alone.
    """
    special = torch.tensor(sorted(set(reader.model.tokenizer.all_special_ids)), device=reader.model.device)
    sums = _Sums(reader.sae.d_in)
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
    seen: list[Tensor] = []

    def splice(x: Tensor) -> Tensor:
        through = x.clone()
        through[text] = reader.sae.reconstruct(x[text]).to(x.dtype)
        seen.extend((x[text].double().cpu(), through[text].double().cpu()))
        return through

    def zero(x: Tensor) -> Tensor:
        return x.masked_fill(text[:, :, None], 0.0)

    if not reader.model.has_logits:
        splice(reader.model.capture(ids, mask, reader.hook))
    predicted = text[:, 1:] & mask[:, :-1].bool()
    for i, change in enumerate((None, splice, zero) if reader.model.has_logits else ()):
        logits = reader.model.logits(ids, mask, reader.hook if change else None, change)
        loss = torch.nn.functional.cross_entropy(
            logits[:, :-1][predicted].float(), ids[:, 1:][predicted], reduction="sum"
        )
        sums.losses[i] += float(loss)
    sums.n_predicted += int(predicted.sum())
    x, through = seen
    sums.n += len(x)
    sums.x += x.sum(dim=0)
    sums.square += float(x.square().sum())
    sums.error += float((x - through).square().sum())
