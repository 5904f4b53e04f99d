"""A dictionary of any size for measurements: seeded, made up, and written by the writer that builds use."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.domain import FIRINGS, HISTOGRAM_BINS, INTERVALS, QUANTILES, Group, Histogram, NewDictionary, Quality
from app.store.blobs import pack_lengths
from app.store.database import Database
from app.store.example_packing import ExampleBlock, first_peaks
from app.store.packing import FeatureBlock, Metadata, Neighbors, Tokens
from app.store.write import IndexWriter, SentenceValues

SYLLABLES = [first + second for first in "bdfgklmnprstv" for second in "aeiou"]
LENGTH = 24  # tokens a sentence
FIRING = 6  # of which a feature fires on
TOP, OTHERS = 20, 1  # examples of the strongest group, and of each other one
TOKENS = 10  # that a feature fires on, promotes, suppresses
NEIGHBORS = 10
TOPICS = 40
BLOCK = 4096  # features made at a time


@dataclass(frozen=True)
class Synthetic:
    """What is made up: the seed, the sizes, and the words that texts are made of."""

    seed: int
    n_features: int
    n_sentences: int
    words: Sequence[str]
    is_skewed: bool = False  # whether words are as frequent as in a language (Zipf), the first the most

    @property
    def n_tokens(self) -> int:
        return self.n_sentences * LENGTH


def make_synthetic(
    n_features: int, n_sentences: int, n_words: int = 8000, seed: int = 0, is_skewed: bool = False
) -> Synthetic:
    draw = np.random.default_rng(seed)
    words: dict[str, None] = {}
    while len(words) < n_words:
        words["".join(draw.choice(SYLLABLES, draw.integers(1, 5)))] = None
    return Synthetic(seed, n_features, n_sentences, list(words), is_skewed)


def write_synthetic(database: Database, id: str, made: Synthetic) -> None:
    new = new_dictionary(id, made)
    writer = IndexWriter(database, new)
    writer.add_sentences(sentences(made))
    draw = np.random.default_rng(made.seed + 1)
    for first in range(0, made.n_features, BLOCK):
        n = min(BLOCK, made.n_features - first)
        writer.add_features(feature_block(made, draw, first, n).packed())
        writer.add_examples(example_block(made, draw, first, n))
    writer.index_words()
    writer.publish(new, replace=True)


def new_dictionary(id: str, made: Synthetic) -> NewDictionary:
    edges = [-0.25 * step for step in range(24, -1, -1)]
    draw = np.random.default_rng(made.seed + 2)
    return NewDictionary(
        id=id,
        title=f"Made up: {made.n_features:,} features",
        model="made-up",
        model_source="made-up",
        sae="made-up",
        sae_source="made-up",
        hook_point="blocks.8.hook_resid_pre",
        architecture="jumprelu",
        d_in=2304,
        n_features=made.n_features,
        n_sentences=made.n_sentences,
        n_duplicates=0,
        n_tokens=made.n_tokens,
        n_masked_tokens=made.n_sentences,
        corpus=["made-up.jsonl"],
        parameters={"seed": made.seed},
        quality=Quality(60.0, 0.75, 0.95, 0.02, 0.01, 20_000),
        density_histogram=Histogram(edges, draw.integers(0, made.n_features // 12, len(edges) - 1).tolist()),
    )


def sentences(made: Synthetic) -> Iterator[SentenceValues]:
    draw = np.random.default_rng(made.seed + 3)
    for number in range(made.n_sentences):
        tokens = [" " + made.words[i] for i in _draw_words(made, draw).tolist()]
        boundaries = pack_lengths(len(token) for token in tokens)
        yield SentenceValues(number, "".join(tokens), boundaries, {"topic": f"topic {number % TOPICS}"}, number, 0)


def _draw_words(made: Synthetic, draw: np.random.Generator) -> NDArray[np.int64]:
    n = len(made.words)
    if made.is_skewed:
        return (n ** draw.random(LENGTH)).astype(np.int64) - 1
    return draw.integers(0, n, LENGTH)


def feature_block(made: Synthetic, draw: np.random.Generator, first: int, n: int) -> FeatureBlock:
    active = np.minimum((10 ** draw.uniform(-1, 4.5, n)).astype(np.int64), made.n_tokens)  # some never fire
    fires = (active > 0)[:, None]
    top = np.where(active > 0, draw.uniform(1, 40, n), 0)
    ids = draw.integers(0, len(made.words), (n, 3 * TOKENS))
    return FeatureBlock(
        first=first,
        n_active_tokens=active,
        n_active_sentences=np.minimum(active, made.n_sentences),
        max_activation=top,
        mean_activation=top * draw.uniform(0.1, 0.6, n),
        top_tokens=Tokens(
            ids[:, :TOKENS], np.where(fires, np.maximum(1, active // 20)[:, None], 0) * np.ones(TOKENS, int)
        ),
        top_token_totals=np.full((n, TOKENS), made.n_tokens // len(made.words)),
        n_first=active // LENGTH,
        n_last=active // LENGTH,
        per_sentence=(active // len(FIRINGS))[:, None] * np.ones(len(FIRINGS), int),
        metadata=[_topics(draw, active)],
        encoder_cosine=draw.uniform(0, 1, n),
        histogram=(active // HISTOGRAM_BINS)[:, None] * np.ones(HISTOGRAM_BINS, int),
        quantiles=top[:, None] * np.array(QUANTILES),
        interval_tokens=(active // INTERVALS)[:, None] * np.ones(INTERVALS, int),
        interval_sentences=(active // INTERVALS)[:, None] * np.ones(INTERVALS, int),
        decoder_norm=draw.uniform(0.5, 2, n),
        promoted=Tokens(ids[:, TOKENS : 2 * TOKENS], -np.sort(-draw.uniform(0.1, 2, (n, TOKENS)))),
        suppressed=Tokens(ids[:, 2 * TOKENS :], np.sort(-draw.uniform(0.1, 2, (n, TOKENS)))),
        similar=_neighbors(made, draw, n),
        opposite=_neighbors(made, draw, n),
        coactive=_neighbors(made, draw, n),
        texts={i: " " + word for i, word in enumerate(made.words)},
    )


def example_block(made: Synthetic, draw: np.random.Generator, first: int, n: int) -> ExampleBlock:
    each = [(place, TOP if group is Group.TOP else OTHERS) for place, group in enumerate(Group)]
    groups = np.repeat([place for place, _ in each], [many for _, many in each])
    ranks = np.concatenate([np.arange(many) for _, many in each])
    total = n * len(groups)
    all_groups = np.tile(groups, n)
    firing = ~np.isin(
        all_groups, [place for place, group in enumerate(Group) if group in (Group.SILENT, Group.CONTRAST)]
    )
    n_firing = int(firing.sum())
    positions = np.sort(np.argsort(draw.random((n_firing, LENGTH)), axis=1)[:, :FIRING], axis=1).ravel()
    values = draw.uniform(0.5, 9, n_firing * FIRING).astype(np.float32)
    peaks = np.full(total, -1)
    peaks[firing] = first_peaks(values, positions, np.full(n_firing, FIRING))
    return ExampleBlock(
        features=np.repeat(np.arange(first, first + n), len(groups)),
        groups=all_groups,
        ranks=np.tile(ranks, n),
        sentences=draw.integers(0, made.n_sentences, total),
        peaks=peaks,
        lengths=np.where(firing, FIRING, 0),
        positions=positions,
        values=values,
    )


def _topics(draw: np.random.Generator, active: NDArray[np.int64]) -> Metadata:
    codes = draw.integers(0, TOPICS, (len(active), 5))
    names = [f"topic {topic}" for topic in range(TOPICS)]
    return Metadata("topic", names, np.full(TOPICS, 1 / TOPICS), codes, (active // 5)[:, None] * np.ones(5, int))


def _neighbors(made: Synthetic, draw: np.random.Generator, n: int) -> Neighbors:
    values: NDArray[np.float64] = -np.sort(-draw.uniform(0.1, 0.9, (n, NEIGHBORS)))
    return Neighbors(draw.integers(0, made.n_features, (n, NEIGHBORS)), values)
