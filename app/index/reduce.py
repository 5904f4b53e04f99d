"""Reducing a recording, a block of features after another: statistics and examples."""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from app.index.checkpoints import Checkpoints
from app.index.draw import DrawOrder
from app.index.examples import Choice, choose, prepare
from app.index.neighbors import CoActivation
from app.index.recorded import Block, Recording
from app.index.recording import Int64
from app.index.statistics import Statistics, find_runs, summarize
from app.index.surroundings import Corpus, Surroundings, describe_corpus, surround
from app.store.example_packing import ExampleBlock

BLOCK_FIRINGS = 1_000_000  # firings held at once by a thread; few enough for the processor's cache
THREADS = 2
T = TypeVar("T", Statistics, Surroundings)


@dataclass(frozen=True)
class ReducedBlock:
    """Of a block of features. fires: in which sentences, as CoActivation.pack gives them."""

    statistics: Statistics
    surroundings: Surroundings
    examples: ExampleBlock
    fires: NDArray[np.uint8]


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
    return kind(**{one.name: np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(kind)})
