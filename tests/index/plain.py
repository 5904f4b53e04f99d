"""The same statistics the slow and obvious way: each sentence alone through the model, plain lists, no batches."""

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.tiny import Tiny

CONTEXT = 32


class PlainSae:
    """SAELens' files of jumprelu, topk or standard (ReLU), b_dec not taken off the input."""

    def __init__(self, folder: Path) -> None:
        self.weights = load_file(folder / "sae_weights.safetensors")
        self.config = json.loads((folder / "cfg.json").read_text())

    def before(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weights["W_enc"] + self.weights["b_enc"]

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        before = self.before(x)
        if self.config["architecture"] == "topk":
            least = before.topk(self.config["k"]).values[:, -1:]
            return torch.where(before >= least, before, 0.0).clamp(min=0)
        return torch.where(before > self.weights.get("threshold", torch.tensor(0.0)), before, 0.0)

    def is_near(self, x: torch.Tensor) -> bool:
        """Whether rounding might decide which features fire."""
        before = self.before(x)
        if self.config["architecture"] == "topk":
            k = self.config["k"]
            ordered = before.sort(dim=1, descending=True).values
            last, next_one = ordered[:, k - 1], ordered[:, k]
            if ((last > 0) & (last - next_one < 1e-5 + 1e-6 * last)).any():
                return True
        return bool(((before - self.weights.get("threshold", torch.tensor(0.0))).abs() < 1e-5).any())


@dataclass(frozen=True)
class Line:
    """One window: its text, token ids and (n_tokens, n_features) activations; record: which text it is from.

    x: (n_tokens, d_model), what the SAE reads.
    """

    text: str
    ids: list[int]
    acts: torch.Tensor
    record: int
    x: torch.Tensor

    @property
    def norms(self) -> torch.Tensor:
        return self.x.norm(dim=1)


def run_plainly(tiny: Tiny, context: int = CONTEXT) -> list[Line]:
    model = AutoModelForCausalLM.from_pretrained(tiny.model)
    tokenizer = AutoTokenizer.from_pretrained(tiny.model)
    sae = PlainSae(tiny.sae)
    lines = []
    for record, text in enumerate(tiny.texts):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        step = context - 1
        for first in range(0, len(ids), step):
            piece = ids[first : first + step]
            with torch.no_grad():
                states = model(torch.tensor([[0, *piece]]), output_hidden_states=True).hidden_states
            x = states[1][0, 1:]  # what block 1 takes in; BOS left out
            lines.append(Line(tokenizer.decode(piece), piece, sae.encode(x), record, x))
    return lines


@dataclass(frozen=True)
class PlainQuality:
    """Over some lines: tokens, |x - mean|^2, |x - x_hat|^2; and cross-entropies, clean, spliced and zeroed."""

    n_tokens: int
    variance: float
    error: float
    losses: list[float]


def quality(tiny: Tiny, texts: Sequence[str], context: int) -> PlainQuality:
    """Each text's first window by itself, block 1 given what the stream holds, its reconstruction, and zeros."""
    model = AutoModelForCausalLM.from_pretrained(tiny.model)
    tokenizer = AutoTokenizer.from_pretrained(tiny.model)
    sae = PlainSae(tiny.sae)
    block = model.get_submodule("model.layers.1" if hasattr(model, "model") else "transformer.h.1")
    seen: list[torch.Tensor] = []

    def splice(x: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return sae.encode(x) @ sae.weights["W_dec"] + sae.weights["b_dec"]

    losses = []
    for change in (lambda x: x, splice, torch.zeros_like):
        hook = block.register_forward_pre_hook(_changing_text(change))
        loss = 0.0
        for text in texts:
            ids = [0, *tokenizer(text, add_special_tokens=False)["input_ids"][: context - 1]]
            with torch.no_grad():
                logits = model(torch.tensor([ids])).logits[0]
            loss += float(torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:]), reduction="sum"))
        hook.remove()
        losses.append(loss)
    x = torch.cat(seen).double()
    x_hat = sae.encode(x.float()) @ sae.weights["W_dec"] + sae.weights["b_dec"]
    variance = float((x - x.mean(dim=0)).square().sum())
    return PlainQuality(len(x), variance, float((x - x_hat).square().sum()), losses)


def _changing_text(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Any, Any], Any]:
    """A block's input with what follows BOS changed."""

    def hook(_: Any, given: Any) -> Any:
        stream = given[0].clone()
        stream[0, 1:] = change(given[0][0, 1:])
        return (stream, *given[1:])

    return hook


@dataclass(frozen=True)
class Plain:
    """One feature's statistics. peaks: by sentence, for those where it fires."""

    values: list[float]
    tokens: Counter[int]
    peaks: dict[int, float]
    firing_in: set[int]


def statistics(lines: list[Line], feature: int) -> Plain:
    values: list[float] = []
    tokens: Counter[int] = Counter()
    peaks: dict[int, float] = {}
    for number, line in enumerate(lines):
        column = line.acts[:, feature].tolist()
        active = [(value, token) for value, token in zip(column, line.ids, strict=True) if value > 0]
        values += [value for value, _ in active]
        tokens.update(token for _, token in active)
        if active:
            peaks[number] = max(column)
    return Plain(values, tokens, peaks, set(peaks))


def fifth(value: float, top: float) -> int:
    """1 to 5: the fifth of (0, top] that holds the value."""
    return next(j for j in range(1, 6) if value <= j * top / 5 * (1 + 1e-9))


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return next(v for i, v in enumerate(ordered, 1) if i >= share * len(ordered) - 1e-9)


def originals(lines: list[Line]) -> set[int]:
    seen: dict[str, int] = {}
    for number, line in enumerate(lines):
        seen.setdefault(line.text, number)
    return set(seen.values())


def histogram(values: list[float], bins: int) -> list[int]:
    counts = [0] * bins
    top = max(values)
    for value in values:
        counts[min(bins - 1, math.ceil(bins * value / top * (1 - 1e-9)) - 1)] += 1
    return counts
