"""Reducing a recording, a block of features after another: statistics and examples."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Generic, TypeVar

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
    found: _Gathered[Statistics] = _Gathered(Statistics, recording.n_features)
    around: _Gathered[Surroundings] = _Gathered(Surroundings, recording.n_features)
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
                found.add(block.first, block.last, reduced.statistics)
                around.add(block.first, block.last, reduced.surroundings)
                coactivation.add(block.first, reduced.fires)
                keep(reduced.examples)
                bar.update(block.last - block.first)
    return Reduced(found.whole(), around.whole(), corpus, coactivation)


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


class _Gathered(Generic[T]):
    """The arrays of all features, filled block by block: gathered at the end they would be there twice."""

    def __init__(self, kind: type[T], n_features: int) -> None:
        self._kind: type[T] = kind
        self._n_features = n_features
        self._arrays: dict[str, NDArray[Any]] = {}

    def add(self, first: int, last: int, part: T) -> None:
        for one in fields(self._kind):
            of_block: NDArray[Any] = getattr(part, one.name)
            if one.name not in self._arrays:
                self._arrays[one.name] = np.zeros((self._n_features, *of_block.shape[1:]), of_block.dtype)
            self._arrays[one.name][first:last] = of_block

    def whole(self) -> T:
        gathered: T = self._kind(**self._arrays)
        return gathered
