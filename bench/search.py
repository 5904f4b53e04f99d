"""How long a search takes over 131,072 features and a million sentences, as a multiple of a route that does nothing.

python -m bench.search [--db FILE] [--features N] [--sentences N] [--rounds N]

The dictionary is made up, seeded, with words as frequent as in English (Zipf); it is kept in FILE for the next run.
The last line is JSON: milliseconds and ratios over every query of every round but the first.
"""

import argparse
import itertools
import json
import random
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from fastapi.testclient import TestClient

from app.domain import Histogram, NewDictionary, Quality
from app.main import create_app
from app.settings import Settings, database_url
from app.store.database import Database
from app.store.dictionaries import list_dictionaries
from app.store.example_packing import ExampleBlock
from app.store.write import IndexWriter

EXAMPLES = 20  # of a feature
FEATURES_AT_ONCE = 4096
LETTERS = "etaoinshrdlucmfwypvbgkjqxz"
FREQUENCIES = [12, 9, 8, 8, 7, 7, 6, 6, 6, 4, 4, 3, 3, 2, 2, 2, 2, 2, 2, 1, 1.5, 1, 0.2, 0.1, 0.2, 0.1]
CONSTANT = "/constant"


def vocabulary(draw: random.Random, n: int = 60_000) -> list[str]:
    words = {"".join(draw.choices(LETTERS, FREQUENCIES, k=draw.randint(2, 10))): None for _ in range(n)}
    return list(words)


def sentences(draw: random.Random, words: list[str], n: int) -> Iterator[str]:
    weights = list(itertools.accumulate(1 / (place + 2) for place in range(len(words))))
    for _ in range(n):
        yield " ".join(draw.choices(words, cum_weights=weights, k=draw.randint(8, 30))) + "."


def make(database: Database, n_features: int, n_sentences: int) -> None:
    """Written by the real writer as far as words go; statistics are empty, since no search reads them."""
    draw = random.Random(0)
    words = vocabulary(draw)
    new = NewDictionary(
        id="large", title="Large", model="made up", model_source="", sae="made up", sae_source="",
        hook_point="blocks.0.hook_resid_pre", architecture="relu", d_in=512, n_features=n_features,
        n_sentences=n_sentences, n_duplicates=0, n_tokens=20 * n_sentences, n_masked_tokens=0, corpus=["made up"],
        parameters={}, quality=Quality(1.0, None, None, 0.0, 0.0, 0), density_histogram=Histogram([], []),
    )  # fmt: skip
    writer = IndexWriter(database, new)
    key, topics = writer.key, [f'{{"topic":"{word}"}}' for word in words[200:400]]
    texts = (
        (key, i, text, b"", draw.choice(topics), i, 0) for i, text in enumerate(sentences(draw, words, n_sentences))
    )
    _insert(database, "sentences (dictionary, number, text, boundaries, metadata, record, offset)", texts)
    features = ((key, i, 100, 20, 1.0, 0.5, "[]", b"") for i in range(n_features))
    columns = '"index", n_active_tokens, n_active_sentences, max_activation, mean_activation, top_tokens, statistics'
    _insert(database, f"features (dictionary, {columns})", features)
    tokens = ((key, 0, draw.choice(words), i) for i in range(n_features) for _ in range(3))
    _insert(database, "feature_tokens (dictionary, kind, token, feature)", tokens)
    for first in range(0, n_features, FEATURES_AT_ONCE):
        writer.add_examples(_examples(draw, first, min(FEATURES_AT_ONCE, n_features - first), n_sentences))
    start = time.perf_counter()
    writer.index_words()
    writer.publish(new, replace=False)
    print(f"indexing the words of {n_sentences:,} sentences: {time.perf_counter() - start:.0f} s", flush=True)
    _label(database, words, draw, n_features)


def _examples(draw: random.Random, first: int, n: int, n_sentences: int) -> ExampleBlock:
    """EXAMPLES of each feature's strongest, in each of which its first token fires."""
    total = n * EXAMPLES
    return ExampleBlock(
        features=np.repeat(np.arange(first, first + n), EXAMPLES),
        groups=np.zeros(total, np.int64),
        ranks=np.tile(np.arange(EXAMPLES), n),
        sentences=np.array([draw.sample(range(n_sentences), EXAMPLES) for _ in range(n)]).ravel(),
        peaks=np.zeros(total, np.int64),
        lengths=np.ones(total, np.int64),
        positions=np.zeros(total, np.int64),
        values=np.ones(total, np.float32),
    )


def _insert(database: Database, into: str, rows: Iterator[tuple[object, ...]]) -> None:
    marks = ", ".join("?" * (into.count(",") + 1))
    while some := list(itertools.islice(rows, 50_000)):
        with database.write() as session:
            session.connection().exec_driver_sql(f"INSERT OR IGNORE INTO {into} VALUES ({marks})", some)


def _label(database: Database, words: list[str], draw: random.Random, n_features: int) -> None:
    """A label for every fourth feature, as a model would write them."""
    now = datetime.now(UTC).isoformat(" ")
    made = (" ".join(draw.choices(words[:3000], k=4)) for _ in range(n_features // 4))
    rows = (("large", 4 * i, text, text, "a model", "a model", now, now, 1, 0, True) for i, text in enumerate(made))
    columns = "dictionary_id, feature, text, words, author, source, created_at, changed_at, version, stars, is_name"
    _insert(database, f"labels ({columns})", rows)


def queries() -> list[str]:
    """Of every kind, from the commonest words to the rarest, and what is typed on the way to one."""
    words = vocabulary(random.Random(0))
    common, middle, rare = words[0], words[150], words[20_000]
    typed = [words[700][:n] for n in range(1, len(words[700]) + 1)]
    single = [common, words[3], words[20], middle, words[1000], words[5000], rare]
    several = [f"{common} {middle}", f"{words[50]} {words[60]}", f'"{common} {words[1]}"', f"{middle} -{common}"]
    return [
        *single,
        *several,
        *typed,
        f"{middle[:3]}*",
        f"{middle[:1]}*",
        middle[1:5],
        "zzzz",
        f"{words[250]} topic",
        "ing",
    ]


def measure(client: TestClient, paths: list[str], rounds: int) -> list[float]:
    """Milliseconds of each request, the first round left out."""
    times = []
    for turn in range(rounds + 1):
        for path in paths:
            start = time.perf_counter()
            answer = client.get(path)
            taken = 1000 * (time.perf_counter() - start)
            assert answer.status_code == 200, answer.text
            if turn:
                times.append(taken)
    return times


def percentile(times: list[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(share * len(times)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--db", default="bench-search.db")
    parser.add_argument("--features", type=int, default=131_072)
    parser.add_argument("--sentences", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=10)
    asked = parser.parse_args()
    database = Database(database_url(asked.db))
    with database.read() as session:
        is_made = bool(list_dictionaries(session))
    if not is_made:
        make(database, asked.features, asked.sentences)
    database.close()
    print(f"{asked.db}: {Path(asked.db).stat().st_size / 1e6:,.0f} MB", flush=True)
    app = create_app(Settings(db=asked.db, model=False))
    app.add_api_route(CONSTANT, lambda: "nothing")
    with TestClient(app) as client:
        floor = measure(client, [CONSTANT] * 20, asked.rounds)
        found = {}
        for kind, path in (("page", "/search"), ("api", "/api/v1/search")):
            each = {
                q: measure(client, [str(client.build_request("GET", path, params={"q": q}).url)], asked.rounds)
                for q in queries()
            }
            for q, times in sorted(each.items(), key=lambda item: -statistics.median(item[1]))[:8]:
                print(f"{kind} {statistics.median(times):7.1f} ms  {q}")
            every = [taken for times in each.values() for taken in times]
            found[kind] = {
                "p50_ms": round(percentile(every, 0.5), 1),
                "p95_ms": round(percentile(every, 0.95), 1),
                "p99_ms": round(percentile(every, 0.99), 1),
                "p50_ratio": round(percentile(every, 0.5) / percentile(floor, 0.5), 1),
                "p95_ratio": round(percentile(every, 0.95) / percentile(floor, 0.5), 1),
                "p99_ratio": round(percentile(every, 0.99) / percentile(floor, 0.99), 1),
            }
    print(json.dumps({"constant": {"p50_ms": round(percentile(floor, 0.5), 2)}, **found}))


if __name__ == "__main__":
    main()
