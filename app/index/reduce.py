"""Reducing a recording, a block of features after another: statistics and examples, then logits and neighbours."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from app.engine.logits import top_logits
from app.engine.sae import written_at
from app.engine.tokens import token_text
from app.index.draw import DrawOrder
from app.index.examples import Choice, choose, prepare
from app.index.neighbors import CoActivation, direction_neighbors, unit_directions
from app.index.record import Reader
from app.index.recorded import Block, Recording
from app.index.recording import Int64
from app.index.statistics import Statistics, find_runs, summarize
from app.store.packing import ExampleBlock, FeatureBlock, Tokens

LOGITS = 10
BLOCK_FIRINGS = 1_000_000  # firings held at once by a thread; few enough for the processor's cache
THREADS = 2


@dataclass(frozen=True)
class Reduced:
    """Of all features. coactivation: in which sentences they fire."""

    statistics: Statistics
    coactivation: CoActivation

    @property
    def n_active(self) -> Int64:
        return self.statistics.n_tokens


def reduce_firings(
    reader: Reader, recording: Recording, order: DrawOrder, keep: Callable[[ExampleBlock], None], progress: Any
) -> Reduced:
    """keep: is given every feature's examples, block by block in ascending order."""
    choice = prepare(recording, order)
    coactivation = CoActivation(recording.n_features, recording.n_windows, reader.model.device)
    found: list[Statistics] = []
    blocks = recording.blocks(BLOCK_FIRINGS)
    with progress(recording.n_features, "Reducing", " features") as bar, ThreadPoolExecutor(THREADS) as pool:
        waiting: deque[tuple[Block, Future[tuple[Statistics, ExampleBlock]]]] = deque()
        for i in range(len(blocks) + THREADS):
            if i < len(blocks):
                waiting.append((blocks[i], pool.submit(_reduce, recording, choice, coactivation, blocks[i])))
            if i >= THREADS:
                block, future = waiting.popleft()
                statistics, examples = future.result()
                found.append(statistics)
                keep(examples)
                bar.update(block.last - block.first)
    columns = {one.name: np.concatenate([getattr(part, one.name) for part in found]) for one in fields(Statistics)}
    return Reduced(Statistics(**columns), coactivation)


def _reduce(
    recording: Recording, choice: Choice, coactivation: CoActivation, block: Block
) -> tuple[Statistics, ExampleBlock]:
    firings = recording.firings(block)
    runs = find_runs(firings)
    statistics = summarize(firings, runs)
    coactivation.add(block.first, firings.n_features, runs.features, choice.order.place[runs.windows])
    return statistics, choose(choice, firings, runs, statistics)


def describe_features(reader: Reader, reduced: Reduced, progress: Any) -> Iterator[FeatureBlock]:
    """Everything that is stored of features, block by block: what they did, with logits and neighbours."""
    decoder = reader.sae.decoder
    unit = unit_directions(decoder)
    norms = decoder.float().norm(dim=1).cpu().numpy()
    texts = _TokenTexts(reader.model.tokenizer)
    of_all = reduced.statistics
    with progress(reader.sae.n_features, "Comparing", " features") as bar:
        for logits in top_logits(reader.model, reader.sae, written_at(reader.sae, reader.hook), LOGITS):
            first, last = logits.first, logits.first + len(logits.promoted)
            similar, opposite = direction_neighbors(unit, first, last)
            own = Statistics(**{one.name: getattr(of_all, one.name)[first:last] for one in fields(Statistics)})
            yield FeatureBlock(
                first=first,
                n_active_tokens=own.n_tokens,
                n_active_sentences=own.n_sentences,
                max_activation=own.maxima,
                mean_activation=own.means,
                top_tokens=Tokens(own.token_ids, own.token_counts),
                histogram=own.histogram,
                quantiles=own.quantiles,
                interval_tokens=own.interval_tokens,
                interval_sentences=own.interval_sentences,
                decoder_norm=norms[first:last],
                promoted=Tokens(logits.promoted_ids.cpu().numpy(), logits.promoted.float().cpu().numpy()),
                suppressed=Tokens(logits.suppressed_ids.cpu().numpy(), logits.suppressed.float().cpu().numpy()),
                similar=similar,
                opposite=opposite,
                coactive=reduced.coactivation.neighbors(first, last),
                texts=texts,
            )
            bar.update(last - first)


class _TokenTexts(dict[int, str]):
    """Each token's text, asked of the tokenizer once."""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def __missing__(self, token_id: int) -> str:
        self[token_id] = token_text(self.tokenizer, token_id)
        return self[token_id]
