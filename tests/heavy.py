"""A dictionary in which everything is as large as it gets: dense features, long sentences, long tokens, many labels."""

import numpy as np

from app.domain import FIRINGS, HISTOGRAM_BINS, INTERVALS, QUANTILES, Group, Histogram, NewDictionary, Quality
from app.store.blobs import pack_lengths
from app.store.database import Database
from app.store.dictionaries import get_dictionary
from app.store.example_packing import ExampleBlock
from app.store.labels import MAX_AUTHOR, MAX_TEXT, add_label, set_star
from app.store.packing import FeatureBlock, Metadata, Neighbors, Tokens
from app.store.write import IndexWriter, SentenceValues

N_FEATURES, N_SENTENCES, LENGTH = 60, 24, 1024  # LENGTH: tokens a sentence, and every feature fires on each
EACH, LABELS = 20, 40  # examples of a group; labels of the first feature
TOP, NEIGHBORS = 20, 20  # tokens of a kind, neighbours of a kind
TOKENS = (
    " 構造解析装置",
    "=" * 64,
    " “Straßenverkehrs&ordnung”",
    "<br>",
    " 日本語の長い語",
    "👩‍👩‍👧‍👦",
    " a",
    "\n\n\n\n",
)
LABEL = ("<構造> & “解析” of 'dense' features " * 40)[:MAX_TEXT]
SHARED = 5  # examples of most features, which are about what these sentences alone have
TOPIC = {"topic": "“&値”" * 25}
METADATA = {f"field {i}": f"“value” {i} & " + "長い値" * 200 for i in range(8)}


def write_heavy(database: Database) -> None:
    new = _dictionary()
    writer = IndexWriter(database, new)
    tokens = [TOKENS[i % len(TOKENS)] for i in range(LENGTH)]
    for number in range(N_SENTENCES):
        text = "".join(tokens)
        boundaries = pack_lengths(len(token) for token in tokens)
        metadata = METADATA | TOPIC if number < SHARED else METADATA
        writer.add_sentences([SentenceValues(number, text, boundaries, metadata, number, 0)])
    writer.add_features(_features().packed())
    writer.add_examples(_examples())
    writer.index_words()
    writer.publish(new, replace=False)
    with database.write() as session:
        dictionary = get_dictionary(session, new.id)
        for index in range(N_FEATURES):
            for number in range(LABELS if index == 0 else 1):
                label = add_label(
                    session, dictionary, index, f"{number} {LABEL}"[:MAX_TEXT], "“A” " * (MAX_AUTHOR // 4)
                )
                set_star(session, dictionary, index, label.id, "Ada", True)


def _dictionary() -> NewDictionary:
    edges = [-0.25 * step for step in range(24, -1, -1)]
    return NewDictionary(
        id="heavy",
        title="Heavy " + "& heavier " * 8,
        model="made-up",
        model_source="made-up",
        sae="made-up",
        sae_source="made-up",
        hook_point="blocks.8.hook_resid_pre",
        architecture="jumprelu",
        d_in=64,
        n_features=N_FEATURES,
        n_sentences=N_SENTENCES,
        n_duplicates=0,
        n_tokens=N_SENTENCES * LENGTH,
        n_masked_tokens=0,
        corpus=["made-up.jsonl"],
        parameters={"corpus": [f"/a/long/path/to/shard-{i:05}.jsonl.gz" for i in range(40)]},
        quality=Quality(60.0, 0.75, 0.95, 0.02, 0.01, 20_000),
        density_histogram=Histogram(edges, [1000] * (len(edges) - 1)),
    )


def _features() -> FeatureBlock:
    n, ones = N_FEATURES, np.ones(N_FEATURES, np.int64)
    ids = np.tile(np.arange(TOP) % len(TOKENS), (n, 1))
    neighbors = Neighbors(np.tile(np.arange(NEIGHBORS), (n, 1)), np.full((n, NEIGHBORS), 0.123456))
    many = ones[:, None] * 1000
    return FeatureBlock(
        first=0,
        n_active_tokens=ones * N_SENTENCES * LENGTH,
        n_active_sentences=ones * N_SENTENCES,
        max_activation=ones * 123456.0,
        mean_activation=ones * 61234.5,
        top_tokens=Tokens(ids, np.tile(many, TOP)),
        top_token_totals=np.tile(many, TOP),
        n_first=ones * N_SENTENCES,
        n_last=ones * N_SENTENCES,
        per_sentence=np.tile(many, len(FIRINGS)),
        metadata=[
            Metadata(
                field,
                [f"{i} {value}" for i in range(5)],
                np.full(5, 0.2),
                np.tile(np.arange(5), (n, 1)),
                many * np.ones((1, 5), int),
            )
            for field, value in METADATA.items()
        ],
        encoder_cosine=ones * 0.123456,
        histogram=np.tile(many, HISTOGRAM_BINS),
        quantiles=np.tile(np.array(QUANTILES) * 123456.0, (n, 1)),
        interval_tokens=np.tile(many, INTERVALS),
        interval_sentences=np.tile(many, INTERVALS),
        decoder_norm=ones * 1.23456,
        promoted=Tokens(ids, np.full((n, TOP), 12.3456)),
        suppressed=Tokens(ids, np.full((n, TOP), -12.3456)),
        similar=neighbors,
        opposite=neighbors,
        coactive=neighbors,
        texts=dict(enumerate(TOKENS)),
    )


def _examples() -> ExampleBlock:
    """The first two features have every group in full, the others some of the strongest."""
    each = [(group, EACH) for group in range(len(Group))]
    of_feature = [each if feature < 2 else [(0, SHARED)] for feature in range(N_FEATURES)]
    rows = [
        (feature, group, rank) for feature, groups in enumerate(of_feature) for group, n in groups for rank in range(n)
    ]
    features, groups, ranks = (np.array(column) for column in zip(*rows, strict=True))
    total, positions = len(rows), np.arange(LENGTH)
    values = 100_000.0 + (positions == LENGTH // 2) * 23_456.0 - positions % 7 * 9_000
    return ExampleBlock(
        features=features,
        groups=groups,
        ranks=ranks,
        sentences=ranks,
        peaks=np.full(total, LENGTH // 2),
        lengths=np.full(total, LENGTH),
        positions=np.tile(positions, total),
        values=np.tile(values, total).astype(np.float32),
    )
