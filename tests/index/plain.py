"""The same statistics the slow and obvious way: each sentence alone through the model, plain lists, no batches."""

import math
from collections import Counter
from dataclasses import dataclass

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.tiny import Tiny

CONTEXT = 32


@dataclass(frozen=True)
class Line:
    """One window: its text, token ids and (n_tokens, n_features) activations; record: which text it is from.

    norms: (n_tokens,) of what the SAE reads.
    """

    text: str
    ids: list[int]
    acts: torch.Tensor
    record: int
    norms: torch.Tensor


def run_plainly(tiny: Tiny, context: int = CONTEXT) -> list[Line]:
    model = AutoModelForCausalLM.from_pretrained(tiny.model)
    tokenizer = AutoTokenizer.from_pretrained(tiny.model)
    sae = load_file(tiny.sae / "sae_weights.safetensors")
    lines = []
    for record, text in enumerate(tiny.texts):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        step = context - 1
        for first in range(0, len(ids), step):
            piece = ids[first : first + step]
            with torch.no_grad():
                states = model(torch.tensor([[0, *piece]]), output_hidden_states=True).hidden_states
            x = states[1][0, 1:]  # what block 1 takes in; BOS left out
            before = x @ sae["W_enc"] + sae["b_enc"]
            acts = torch.where(before > sae["threshold"], before, 0.0)
            lines.append(Line(tokenizer.decode(piece), piece, acts, record, x.norm(dim=1)))
    return lines


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
