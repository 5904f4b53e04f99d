"""Reducing a recording: feature by feature, everything that is stored of it. Examples wait in a file until written."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.domain import Group, Neighbor, NewExample, NewFeature, TokenLogit, TokenShare
from app.engine.logits import top_logits
from app.engine.tokens import token_text
from app.index import statistics
from app.index.draw import DrawOrder
from app.index.examples import choose, prepare
from app.index.neighbors import coactive_neighbors, direction_neighbors
from app.index.record import Reader
from app.index.recording import Int64, Recording

LOGITS = 10
BLOCK_FIRINGS = 20_000_000  # firings held at once


@dataclass(frozen=True)
class _Counted:
    """What the pass over the firings finds of a feature."""

    n_active_tokens: int
    n_active_sentences: int
    max_activation: float
    mean_activation: float
    top_tokens: list[tuple[int, int]]
    histogram: Any
    quantiles: Any
    intervals: Any


@dataclass(frozen=True)
class Reduction:
    """n_active: (n_features,) active tokens. features and examples can be read once each."""

    n_active: Int64
    features: Callable[[], Iterator[NewFeature]]
    examples: Callable[[], Iterator[NewExample]]


def reduce_features(reader: Reader, recording: Recording, order: DrawOrder, progress: Any) -> Reduction:
    choice = prepare(recording, order)
    counted: list[_Counted] = []
    sentences: list[Any] = []
    chosen = recording.folder / "examples.jsonl"
    with progress(recording.n_features, "Reducing", " features") as bar, chosen.open("w", encoding="utf-8") as file:
        for block in recording.blocks(BLOCK_FIRINGS):
            for i in range(len(block.bounds) - 1):
                inside = slice(int(block.bounds[i]), int(block.bounds[i + 1]))
                found = statistics.fired(recording, block.rows[inside], block.values[inside])
                tokens = statistics.top_tokens(recording.token_ids[found.rows])
                counted.append(_count(found, tokens))
                sentences.append(found.sentences.astype(np.uint32))
                for example in choose(choice, block.first + i, found, tokens[0][0] if tokens else None):
                    file.write(_example_line(example))
                bar.update()
    bounds = np.concatenate([[0], np.cumsum([len(some) for some in sentences])])
    firing = np.concatenate(sentences) if sentences else np.zeros(0, np.uint32)

    def features() -> Iterator[NewFeature]:
        logits = _logits(reader)
        directions = direction_neighbors(reader.sae.decoder)
        coactive = coactive_neighbors(firing, bounds, recording.n_windows)
        norms = reader.sae.decoder.float().norm(dim=1).tolist()
        texts = _TokenTexts(reader.model.tokenizer)
        parts = zip(counted, norms, logits, directions, coactive, strict=True)
        for index, (count, norm, (promoted, suppressed), (similar, opposite), together) in enumerate(parts):
            yield _feature(index, count, norm, promoted, suppressed, similar, opposite, together, texts)

    n_active = np.array([count.n_active_tokens for count in counted], dtype=np.int64)
    return Reduction(n_active, features, lambda: _read_examples(chosen))


def _count(found: statistics.Fired, tokens: list[tuple[int, int]]) -> _Counted:
    n = len(found.values)
    return _Counted(
        n_active_tokens=n,
        n_active_sentences=len(found.sentences),
        max_activation=float(found.values.max()) if n else 0.0,
        mean_activation=float(found.values.sum(dtype=np.float64)) / n if n else 0.0,
        top_tokens=tokens,
        histogram=statistics.histogram(found.values),
        quantiles=statistics.quantiles(found.values),
        intervals=statistics.intervals(found),
    )


class _TokenTexts(dict[int, str]):
    """Each token's text, asked of the tokenizer once."""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def __missing__(self, token_id: int) -> str:
        self[token_id] = token_text(self.tokenizer, token_id)
        return self[token_id]


_IdLogits = list[tuple[int, float]]


def _logits(reader: Reader) -> Iterator[tuple[_IdLogits, _IdLogits]]:
    for block in top_logits(reader.model, reader.sae, reader.hook, LOGITS):
        parts = (block.promoted_ids, block.promoted, block.suppressed_ids, block.suppressed)
        for ids, values, low_ids, low_values in zip(*(part.tolist() for part in parts), strict=True):
            yield list(zip(ids, values, strict=True)), list(zip(low_ids, low_values, strict=True))


def _feature(
    index: int,
    count: _Counted,
    norm: float,
    promoted: _IdLogits,
    suppressed: _IdLogits,
    similar: list[Neighbor],
    opposite: list[Neighbor],
    coactive: list[Neighbor],
    texts: _TokenTexts,
) -> NewFeature:
    return NewFeature(
        index=index,
        n_active_tokens=count.n_active_tokens,
        n_active_sentences=count.n_active_sentences,
        max_activation=count.max_activation,
        mean_activation=count.mean_activation,
        top_tokens=[TokenShare(texts[t], t, n, n / count.n_active_tokens) for t, n in count.top_tokens],
        histogram=count.histogram,
        quantiles=count.quantiles,
        intervals=count.intervals,
        decoder_norm=norm,
        promoted=[TokenLogit(texts[t], t, logit) for t, logit in promoted],
        suppressed=[TokenLogit(texts[t], t, logit) for t, logit in suppressed],
        similar=similar,
        opposite=opposite,
        coactive=coactive,
    )


def _example_line(e: NewExample) -> str:
    return json.dumps([e.feature, e.group, e.rank, e.sentence, e.peak, list(e.positions), list(e.values)]) + "\n"


def _read_examples(file: Path) -> Iterator[NewExample]:
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            feature, group, rank, sentence, peak, positions, values = json.loads(line)
            yield NewExample(feature, Group(group), rank, sentence, peak, positions, values)
