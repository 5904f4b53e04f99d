"""Features held against tokens and against all other features, a block after another, and packed to be stored."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, TypeVar

import torch

from app.engine.logits import LogitReader
from app.engine.sae import written_at
from app.engine.tokens import token_text
from app.index.checkpoints import Checkpoints
from app.index.neighbors import Decoder, encoder_cosines
from app.index.reader import Reader
from app.index.reduce import Reduced
from app.index.statistics import Statistics
from app.index.surroundings import Surroundings
from app.index.workers import Workers
from app.store.packing import FeatureBlock, FeatureRows, Metadata, Neighbors, Tokens

LOGITS = 10
COMPARED = 1024  # features that are compared with all others at once
THREADS = 2
AHEAD = 3  # blocks that may wait to be stored
T = TypeVar("T", Statistics, Surroundings)


@dataclass(frozen=True)
class Directions:
    """Of a block of features, what follows from the SAE's weights alone."""

    promoted: Tokens
    suppressed: Tokens
    similar: Neighbors
    opposite: Neighbors


class Comparison:
    """Threads that compare. What follows from the weights alone is begun at once: it goes on while firings are reduced
    and stored, which is half Python's and leaves processors idle.
    """

    def __init__(self, reader: Reader, checkpoints: Checkpoints) -> None:
        self._reader = reader
        self._checkpoints = checkpoints
        self._decoder = Decoder(reader.sae.decoder)
        self._cosines = encoder_cosines(reader.sae)
        self._logits = LogitReader(reader.model, reader.sae, written_at(reader.sae, reader.hook))
        self._texts = _TokenTexts(reader.model.tokenizer)
        n_features = reader.sae.n_features
        self._blocks = [(first, min(first + COMPARED, n_features)) for first in range(0, n_features, COMPARED)]
        on_processor = reader.model.device.type == "cpu"
        self._workers = Workers(min(THREADS, torch.get_num_threads()) if on_processor else 1)
        self._directions: list[Future[Directions]] = []

    def __enter__(self) -> "Comparison":
        self._workers.__enter__()
        for first, last in self._blocks:
            make = partial(self._compare, first, last)
            self._directions.append(self._workers.submit(self._checkpoints.once, Directions, first, last, make))
        return self

    def __exit__(self, *error: object) -> None:
        self._workers.__exit__(*error)

    def rows(self, reduced: Reduced, progress: Any) -> Iterator[FeatureRows]:
        """Everything that is stored of features, block by block: what they did, with logits and neighbours."""
        with progress(self._reader.sae.n_features, "Comparing", " features") as bar:
            waiting: deque[tuple[int, Future[FeatureRows]]] = deque()
            for first, last in self._blocks:
                waiting.append((last - first, self._workers.submit(self._described, reduced, first, last)))
                while len(waiting) > AHEAD or (waiting and last == self._blocks[-1][1]):
                    n, made = waiting.popleft()
                    yield made.result()
                    bar.update(n)

    def _compare(self, first: int, last: int) -> Directions:
        top = self._logits.top(first, last, LOGITS)
        similar, opposite = self._decoder.neighbors(first, last)
        return Directions(
            promoted=Tokens(top.promoted_ids.cpu().numpy(), top.promoted.float().cpu().numpy()),
            suppressed=Tokens(top.suppressed_ids.cpu().numpy(), top.suppressed.float().cpu().numpy()),
            similar=similar,
            opposite=opposite,
        )

    def _described(self, reduced: Reduced, first: int, last: int) -> FeatureRows:
        directions = self._directions[first // COMPARED].result()  # asked for earlier, so done or being done
        coactive = self._checkpoints.once(Neighbors, first, last, lambda: reduced.coactivation.neighbors(first, last))
        own, around = _cut(reduced.statistics, first, last), _cut(reduced.surroundings, first, last)
        corpus = reduced.corpus
        return FeatureBlock(
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
            encoder_cosine=self._cosines[first:last],
            histogram=own.histogram,
            quantiles=own.quantiles,
            interval_tokens=own.interval_tokens,
            interval_sentences=own.interval_sentences,
            decoder_norm=self._decoder.norms[first:last].cpu().numpy(),
            promoted=directions.promoted,
            suppressed=directions.suppressed,
            similar=directions.similar,
            opposite=directions.opposite,
            coactive=coactive,
            texts=self._texts,
        ).packed()


def _cut(whole: T, first: int, last: int) -> T:
    """The arrays of features first to last - 1."""
    return type(whole)(**{one.name: getattr(whole, one.name)[first:last] for one in fields(whole)})


class _TokenTexts(dict[int, str]):
    """Each token's text, asked of the tokenizer once."""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def __missing__(self, token_id: int) -> str:
        self[token_id] = token_text(self.tokenizer, token_id)
        return self[token_id]
