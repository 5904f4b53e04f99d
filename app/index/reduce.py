"""Reducing a recording, a block of features after another: statistics and examples, then logits and neighbours."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import Field, dataclass, fields
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.engine.logits import LogitReader
from app.engine.sae import written_at
from app.engine.tokens import token_text
from app.index.checkpoints import Checkpoints
from app.index.draw import DrawOrder
from app.index.examples import Choice, choose, prepare
from app.index.neighbors import CoActivation, direction_neighbors, encoder_cosines, unit_directions
from app.index.reader import Reader
from app.index.recorded import Block, Recording
from app.index.recording import Int64
from app.index.statistics import Statistics, find_runs, summarize
from app.index.surroundings import Corpus, Surroundings, describe_corpus, surround
from app.store.example_packing import ExampleBlock
from app.store.packing import FeatureBlock, Metadata, Neighbors, Tokens

LOGITS = 10
BLOCK_FIRINGS = 1_000_000  # firings held at once by a thread; few enough for the processor's cache
THREADS = 2
COMPARED = 1024  # features that are compared with all others at once
T = TypeVar("T", Statistics, Surroundings)


@dataclass(frozen=True)
class ReducedBlock:
    """Of a block of features. fires: in which sentences, as CoActivation.pack gives them."""

    statistics: Statistics
    surroundings: Surroundings
    examples: ExampleBlock
    fires: NDArray[np.uint8]


@dataclass(frozen=True)
class Compared:
    """Of a block of features, held against tokens and all other features."""

    promoted: Tokens
    suppressed: Tokens
    similar: Neighbors
    opposite: Neighbors
    coactive: Neighbors


@dataclass(frozen=True)
class Reduced:
    """Of all features. coactivation: in which sentences they fire. corpus: what they are held against."""

    statistics: Statistics
    surroundings: Surroundings
    corpus: Corpus
    coactivation: CoActivation

    @property
    def n_active(self) -> Int64:
        return self.statistics.n_tokens


def reduce_firings(
    recording: Recording,
    order: DrawOrder,
    device: torch.device,
    keep: Callable[[ExampleBlock], None],
    progress: Any,
    checkpoints: Checkpoints,
    block_firings: int = BLOCK_FIRINGS,
) -> Reduced:
    """keep: is given every feature's examples, block by block in ascending order."""
    choice = prepare(recording, order)
    corpus = describe_corpus(recording)
    coactivation = CoActivation(recording.n_features, recording.n_windows, device)
    found: list[Statistics] = []
    around: list[Surroundings] = []
    blocks = recording.blocks(block_firings)
    with progress(recording.n_features, "Reducing", " features") as bar, ThreadPoolExecutor(THREADS) as pool:
        waiting: deque[tuple[Block, Future[ReducedBlock]]] = deque()
        for i in range(len(blocks) + THREADS):
            if i < len(blocks):
                block = blocks[i]
                make = partial(_reduce, recording, choice, corpus, coactivation, block)
                waiting.append((block, pool.submit(checkpoints.once, ReducedBlock, block.first, block.last, make)))
            if i >= THREADS:
                block, future = waiting.popleft()
                reduced = future.result()
                found.append(reduced.statistics)
                around.append(reduced.surroundings)
                coactivation.add(block.first, reduced.fires)
                keep(reduced.examples)
                bar.update(block.last - block.first)
    return Reduced(_joined(Statistics, found), _joined(Surroundings, around), corpus, coactivation)


def _reduce(
    recording: Recording, choice: Choice, corpus: Corpus, coactivation: CoActivation, block: Block
) -> ReducedBlock:
    firings = recording.firings(block)
    runs = find_runs(firings)
    statistics, level = summarize(firings, runs)
    return ReducedBlock(
        statistics=statistics,
        surroundings=surround(recording, corpus, firings, runs),
        examples=choose(choice, firings, runs, statistics, level),
        fires=coactivation.pack(firings.n_features, runs.features, choice.order.place[runs.windows]),
    )


def _joined(kind: type[T], parts: Sequence[T]) -> T:
    """The arrays of features of all parts, one after another."""
    return kind(**{one.name: np.concatenate([getattr(part, one.name) for part in parts]) for one in _arrays(kind)})


def _cut(whole: T, first: int, last: int) -> T:
    """The arrays of features first to last - 1."""
    return type(whole)(**{one.name: getattr(whole, one.name)[first:last] for one in _arrays(type(whole))})


def _arrays(kind: type) -> "tuple[Field[Any], ...]":
    return fields(kind)


def describe_features(
    reader: Reader, reduced: Reduced, progress: Any, checkpoints: Checkpoints
) -> Iterator[FeatureBlock]:
    """Everything that is stored of features, block by block: what they did, with logits and neighbours."""
    n_features, decoder = reader.sae.n_features, reader.sae.decoder
    unit = unit_directions(decoder)
    norms = decoder.float().norm(dim=1).cpu().numpy()
    logits = LogitReader(reader.model, reader.sae, written_at(reader.sae, reader.hook))
    texts = _TokenTexts(reader.model.tokenizer)
    corpus = reduced.corpus
    cosines = encoder_cosines(reader.sae)
    with progress(n_features, "Comparing", " features") as bar:
        for first in range(0, n_features, COMPARED):
            last = min(first + COMPARED, n_features)
            make = partial(_compare, logits, unit, reduced.coactivation, first, last)
            compared = checkpoints.once(Compared, first, last, make)
            own = _cut(reduced.statistics, first, last)
            around = _cut(reduced.surroundings, first, last)
            yield FeatureBlock(
                first=first,
                n_active_tokens=own.n_tokens,
                n_active_sentences=own.n_sentences,
                max_activation=own.maxima,
                mean_activation=own.means,
                top_tokens=Tokens(own.token_ids, own.token_counts),
                top_token_totals=corpus.token_totals[own.token_ids],
                n_first=around.n_first,
                n_last=around.n_last,
                per_sentence=around.per_sentence,
                metadata=[
                    Metadata(field.name, field.values, field.shares, around.values[:, place], around.counts[:, place])
                    for place, field in enumerate(corpus.fields)
                ],
                encoder_cosine=cosines[first:last],
                histogram=own.histogram,
                quantiles=own.quantiles,
                interval_tokens=own.interval_tokens,
                interval_sentences=own.interval_sentences,
                decoder_norm=norms[first:last],
                promoted=compared.promoted,
                suppressed=compared.suppressed,
                similar=compared.similar,
                opposite=compared.opposite,
                coactive=compared.coactive,
                texts=texts,
            )
            bar.update(last - first)


def _compare(logits: LogitReader, unit: Tensor, coactivation: CoActivation, first: int, last: int) -> Compared:
    top = logits.top(first, last, LOGITS)
    similar, opposite = direction_neighbors(unit, first, last)
    return Compared(
        promoted=Tokens(top.promoted_ids.cpu().numpy(), top.promoted.float().cpu().numpy()),
        suppressed=Tokens(top.suppressed_ids.cpu().numpy(), top.suppressed.float().cpu().numpy()),
        similar=similar,
        opposite=opposite,
        coactive=coactivation.neighbors(first, last),
    )


class _TokenTexts(dict[int, str]):
    """Each token's text, asked of the tokenizer once."""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def __missing__(self, token_id: int) -> str:
        self[token_id] = token_text(self.tokenizer, token_id)
        return self[token_id]
