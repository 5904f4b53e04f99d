"""How long pages take at 131,072 features, each as a multiple of a constant route in the same process and run.

python -m bench.pages [--features 131072] [--rounds 200] [--folder /tmp/featurescope-bench] [--only NAME] [--db URL]
The dictionary is made up (bench/synthetic.py), written once by the writer that builds use, and kept in the folder; or
in another database, such as PostgreSQL's, that --db names.
Every page is asked in turn with the constant route, and held against the times of that route beside it: first as a
server that keeps no page makes it, then as a server as it is installed answers, which shows a page again while nothing
has changed (the addresses are drawn anew; most features come once, the first page of a list comes each time).
The last line is JSON: for each page p50 and p99 over the constant route's, as installed, and first_... as made anew.
"""

import argparse
import http.client
import json
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI

from app.main import create_app
from app.memory import keep_for_good
from app.settings import Settings, database_url
from app.store.database import Database
from app.store.dictionaries import get_dictionary, list_dictionaries
from app.store.feature_order import Sort
from app.store.labels import add_label
from bench.synthetic import TOPICS, Synthetic, make_synthetic, write_synthetic

ID = "made-up"
SENTENCES = 100_000
LABELS = 5_000
READERS, EACH = 50, 10
TARGETS = {"home": (4, 8), "feature": (4, 8), "list": (4, 8)}  # p50, p99; every other page:
FILTERED = (15, 30)

Address = Callable[[random.Random], str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=131_072)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/featurescope-bench"))
    parser.add_argument("--only", default="", help="pages whose name holds this")
    parser.add_argument("--db", help="a database of your own instead of a file in the folder")
    asked = parser.parse_args()
    made = make_synthetic(asked.features, SENTENCES)
    asked.folder.mkdir(parents=True, exist_ok=True)
    url = asked.db or f"sqlite:///{asked.folder / f'pages-{made.n_features}-{made.n_sentences}.db'}"
    prepare(url, made)
    with serving(url, page_memory=0) as port:
        first = measure(port, pages(made), asked.rounds, asked.only)
    with serving(url) as port:
        installed = measure(port, pages(made), asked.rounds, asked.only)
        crowd = read_at_once(port, pages(made)) if not asked.only else {}
    floor = [percentiles(constant)[0] for _, constant in (*first.values(), *installed.values())]
    print(f"{made.n_features:,} features; the constant route: p50 {1000 * statistics.median(floor):.2f} ms")
    heading = " ".join(f"{name:>8}" for name in ("p50 ms", "p50 x", "p99 x"))
    print(f"{'':24}   {'made anew':^26}   {'as installed':^26}")
    print(f"{'page':24}   {heading}   {heading}  within target")
    result: dict[str, dict[str, float]] = {}
    for name in first:
        anew, shown = compared(*first[name]), compared(*installed[name])
        most = TARGETS.get(name, FILTERED)
        within = [ratios[1] <= most[0] and ratios[2] <= most[1] for ratios in (shown, anew)]
        said = "yes" if all(within) else f"only again (target {most[0]}, {most[1]})" if within[0] else f"no, {most}"
        numbers = "   ".join(" ".join(f"{number:8.2f}" for number in ratios) for ratios in (anew, shown))
        print(f"{name:24}   {numbers}  {said}")
        result[name] = {"p50_ratio": round(shown[1], 2), "p99_ratio": round(shown[2], 2)}
        result[name] |= {"first_p50_ratio": round(anew[1], 2), "first_p99_ratio": round(anew[2], 2)}
    if crowd:
        print(f"{READERS} readers at once: {crowd['requests']} answers, {crowd['errors']} errors, "
              f"p50 {crowd['p50_ms']:.0f} ms, p99 {crowd['p99_ms']:.0f} ms")  # fmt: skip
        result["readers"] = crowd
    print(json.dumps(result))


def compared(page: list[float], constant: list[float]) -> tuple[float, float, float]:
    """p50 in ms, and p50 and p99 over the constant route's."""
    (p50, p99), (floor50, floor99) = percentiles(page), percentiles(constant)
    return 1000 * p50, p50 / floor50, p99 / floor99


def pages(made: Synthetic) -> dict[str, Address]:
    path = f"/dictionaries/{ID}"

    def word(draw: random.Random) -> str:
        return quote(draw.choice(made.words))

    def feature(draw: random.Random) -> str:
        return f"{path}/features/{draw.randrange(made.n_features)}"

    listed: dict[str, Address] = {"list": lambda _draw: path}
    for sort in Sort:
        if sort is not Sort.INDEX:
            listed[f"list sort={sort}"] = lambda _draw, sort=sort: f"{path}?sort={sort}"
    return {
        "home": lambda _draw: "/",
        "feature": feature,
        "feature in a list": lambda draw: f"{feature(draw)}?among=sort%3D-density%26alive%3Dyes",
        "examples": lambda draw: f"{feature(draw)}?group=interval-3",
        **listed,
        "list cards": lambda _draw: f"{path}?view=cards",
        "list q": lambda draw: f"{path}?q={word(draw)}",
        "list token": lambda draw: f"{path}?token={word(draw)}",
        "list promotes": lambda draw: f"{path}?promotes={word(draw)}&sort=-max_activation",
        "list density": lambda draw: f"{path}?min_density={draw.uniform(0.0001, 0.01):.5f}&max_density=1",
        "list max": lambda draw: f"{path}?min_max_activation={draw.uniform(1, 39):.2f}",
        "list about": lambda draw: f"{path}?about=topic+{draw.randrange(TOPICS)}&sort=-topic",
        "list alive": lambda _draw: f"{path}?alive=yes&sort=density",
        "list labelled": lambda _draw: f"{path}?labelled=yes&sort=label",
        "random": lambda _draw: f"{path}/random",
        "sentence": lambda draw: f"{path}/sentences/{draw.randrange(made.n_sentences)}",
        "search": lambda draw: f"/search?q={word(draw)}",
    }


def prepare(url: str, made: Synthetic) -> None:
    """The dictionary is written where it is not there yet."""
    database = Database(database_url(url))
    with database.read() as session:
        known = {dictionary.id for dictionary in list_dictionaries(session)}
    if ID not in known:
        print(f"Writing {made.n_features:,} features and {made.n_sentences:,} sentences.", file=sys.stderr)
        start = time.perf_counter()
        write_synthetic(database, ID, made)
        draw = random.Random(made.seed + 5)
        with database.write() as session:
            dictionary = get_dictionary(session, ID)
            for index in draw.sample(range(made.n_features), min(LABELS, made.n_features // 4)):
                add_label(session, dictionary, index, " ".join(draw.choices(made.words, k=3)), "bench")
        print(f"Written in {time.perf_counter() - start:.0f} s.", file=sys.stderr)
    database.close()


@contextmanager
def serving(url: str, page_memory: int = Settings.page_memory) -> Iterator[int]:
    app = create_app(Settings(db=url, model=False, page_memory=page_memory))
    add_constant(app)
    keep_for_good()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


def add_constant(app: FastAPI) -> None:
    @app.get("/constant")
    def constant() -> dict[str, str]:
        return {"status": "ok"}


def get(connection: http.client.HTTPConnection, path: str) -> float:
    start = time.perf_counter()
    connection.request("GET", path, headers={"accept-encoding": "gzip"})
    answer = connection.getresponse()
    answer.read()
    took = time.perf_counter() - start
    assert answer.status < 400, f"{path}: {answer.status}"
    return took


def measure(port: int, asked: dict[str, Address], rounds: int, only: str) -> dict[str, tuple[list[float], list[float]]]:
    """Each page in turn with the constant route, so that what disturbs one disturbs the other: times of both."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    draw = random.Random(1)
    times = {}
    for name, address in asked.items():
        if only not in name:
            continue
        for _ in range(10):
            get(connection, "/constant")
            get(connection, address(draw))
        page, constant = [], []
        for _ in range(rounds):
            constant.append(get(connection, "/constant"))
            page.append(get(connection, address(draw)))
        times[name] = page, constant
    return times


def read_at_once(port: int, asked: dict[str, Address]) -> dict[str, float]:
    times: list[float] = []
    errors: list[str] = []

    def read(seed: int) -> None:
        draw = random.Random(seed)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for _ in range(EACH):
            address = draw.choice(list(asked.values()))(draw)
            try:
                times.append(get(connection, address))
            except (AssertionError, OSError, http.client.HTTPException) as error:
                errors.append(str(error))

    readers = [threading.Thread(target=read, args=(seed,)) for seed in range(READERS)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    for error in errors[:5]:
        print(error, file=sys.stderr)
    p50, p99 = percentiles(times)
    return {"requests": len(times), "errors": len(errors), "p50_ms": round(1000 * p50), "p99_ms": round(1000 * p99)}


def percentiles(times: list[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(times, n=100)
    return statistics.median(times), cuts[98]


if __name__ == "__main__":
    main()
