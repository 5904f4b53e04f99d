"""How long a search takes over 131,072 features and a million sentences, as a multiple of a route that does nothing.

python -m bench.search [--folder FOLDER] [--features N] [--sentences N] [--rounds N]

The dictionary is made up, seeded, with words as frequent as in a language (Zipf), written by the writer that builds use
(some minutes), and kept in the folder. The page is asked by HTTP, each query in turn with the constant route.
The last line is JSON: milliseconds and ratios over every query of every round but the first.
"""

import argparse
import http.client
import itertools
import json
import random
import statistics
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

from app.store.database import Database
from app.store.dictionaries import list_dictionaries
from bench.pages import ID, get, serving
from bench.synthetic import Synthetic, make_synthetic, write_synthetic

WORDS = 60_000
P95_MS = 100  # the goal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/featurescope-bench"))
    parser.add_argument("--features", type=int, default=131_072)
    parser.add_argument("--sentences", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=10)
    asked = parser.parse_args()
    made = make_synthetic(asked.features, asked.sentences, WORDS, is_skewed=True)
    file = prepared(asked.folder, made)
    print(f"{file}: {file.stat().st_size / 1e6:,.0f} MB", flush=True)
    result = {}
    with serving(f"sqlite:///{file}") as port:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for kind, path in (("page", "/search"), ("api", "/api/v1/search")):
            result[kind] = measured(connection, kind, path, queries(made), asked.rounds)
    print(json.dumps(result))


def measured(
    connection: http.client.HTTPConnection, kind: str, path: str, asked: list[str], rounds: int
) -> dict[str, float]:
    each: dict[str, list[float]] = {q: [] for q in asked}
    floor: list[float] = []
    for turn in range(rounds + 1):
        for q, times in each.items():
            constant, search = get(connection, "/constant"), get(connection, f"{path}?{urlencode({'q': q})}")
            if turn:
                floor.append(1000 * constant)
                times.append(1000 * search)
    for q, times in sorted(each.items(), key=lambda item: -statistics.median(item[1])):
        print(f"{kind} {statistics.median(times):7.1f} ms  {q}")
    every = [taken for times in each.values() for taken in times]
    found = {}
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        found |= {
            f"{name}_ms": round(percentile(every, share), 1),
            f"{name}_ratio": round(percentile(every, share) / percentile(floor, share), 1),
        }
    constant_p50 = percentile(floor, 0.5)
    within = "within" if found["p95_ms"] < P95_MS else "beyond"
    print(f"{kind}: p95 {found['p95_ms']:.1f} ms, {within} {P95_MS} ms; the constant route: p50 {constant_p50:.2f} ms")
    return found


def prepared(folder: Path, made: Synthetic) -> Path:
    """The database, written where it is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"search-{made.n_features}-{made.n_sentences}.db"
    database = Database(f"sqlite:///{file}")
    with database.read() as session:
        is_made = bool(list_dictionaries(session))
    if not is_made:
        start = time.perf_counter()
        print(f"Writing {made.n_sentences:,} sentences to {file}.", file=sys.stderr)
        write_synthetic(database, ID, made)
        _label(database, made)
        print(f"Written in {time.perf_counter() - start:.0f} s.", file=sys.stderr)
    database.close()
    return file


def _label(database: Database, made: Synthetic) -> None:
    """A label for every fourth feature, as a model would write them."""
    draw, now = random.Random(0), datetime.now(UTC).isoformat(" ")
    texts = (" ".join(draw.choices(made.words[:3000], k=4)) for _ in range(made.n_features // 4))
    rows: Iterator[tuple[object, ...]] = (
        (ID, 4 * i, text, text, "a model", "a model", now, now, 1, 0, True) for i, text in enumerate(texts)
    )
    columns = "dictionary_id, feature, text, words, author, source, created_at, changed_at, version, stars, is_name"
    marks = ", ".join("?" * (columns.count(",") + 1))
    while some := list(itertools.islice(rows, 10_000)):
        with database.write() as session:
            session.connection().exec_driver_sql(f"INSERT INTO labels ({columns}) VALUES ({marks})", some)


def queries(made: Synthetic) -> list[str]:
    """Of every kind, from the commonest words to the rarest, and what is typed on the way to one."""
    words = made.words
    common, middle, rare = words[0], words[150], words[20_000]
    long = next(word for word in words[700:] if len(word) == 8)
    typed = [long[:n] for n in range(1, len(long) + 1)]
    single = [common, words[3], words[20], middle, words[1000], words[5000], rare]
    several = [f"{common} {middle}", f"{words[50]} {words[60]}", f'"{common} {words[1]}"', f"{middle} -{common}"]
    pieces = [f"{middle[:3]}*", f"{middle[:1]}*", long[1:5], "zzzz", f"{words[250]} topic", "topic 7"]
    return [*single, *several, *typed, *pieces]


def percentile(times: list[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(share * len(times)))]


if __name__ == "__main__":
    main()
