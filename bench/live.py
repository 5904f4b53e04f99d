"""How fast the live side answers, against the bare computation, alone and for 32 clients at once.

python -m bench.live [--only large demo] [--threads N] [--processes N]

`large` is a GPT-2 small with seeded weights and an SAE of 24,576 features at block 8; `demo` is the bundled pair.
A real server is started for each. ratio: the median of one call with a text of 32 tokens over the median of the bare
forward up to the hook and encode of the same text, in turns within this run (extra_ms: their difference). speedup_32:
calls a second with 32 clients, all in one other process, over calls a second of one of them, medians of seven rounds
in turns, after 20 s of load (in which a small model's second process loads), while nobody browses; possible_32: how
much faster the bare computation, here, takes 32 texts as one batch (a large model's on every processor) than one by
one: all that batching in one process could give if the server took no time. page_ratio: the 95th percentile of 200
feature pages' times under those 32 clients over the same at rest. steer_ratio, clamp_ratio: steered tokens a second
(base and steered text together), by adding and by clamping, over those of transformers' generate. The last line is
JSON.
"""

import argparse
import http.client
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from app.domain import Dictionary
from app.engine.activations import encode_windows
from app.engine.hook_points import parse_hook_point
from app.engine.loaded_models import Loaded, LoadedModels
from app.engine.model_files import load_language_model
from app.engine.patience import Patience
from app.engine.steering import steer
from app.engine.tokens import windows
from app.engine.turn import BROWSES
from app.live import Mode, RawStrength, SteeringRequest, SteeringSummary
from app.store.database import Database
from app.store.dictionaries import get_dictionary
from bench.workloads import LARGE, Workload, make_model, make_sae, token_ids
from tests.server import COMMAND, environment, free_port

TOKENS = 32
ALONE = 40  # calls one after another
ROUNDS = 7  # of one client and of CLIENTS in turns
CLIENTS = 32
EACH = 10  # calls of each client
SETTLES = 20.0  # seconds of load before it is measured: a small model's second process loads meanwhile
CLIENTS_START = 1.0  # seconds until their process asks and batches have become as large as they do
PAGES = 200
NEW_TOKENS = 48
COMMON = (
    "the",
    "a",
    "match",
    "rain",
    "onion",
    "pan",
    "she",
    "won",
    "said",
    "and",
    "of",
    "in",
    "on",
    "it",
    "door",
    "sea",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=["large", "demo"], default=["large", "demo"])
    parser.add_argument("--threads", type=int, default=0, help="of torch, here and in the server (default: as it does)")
    parser.add_argument("--processes", type=int, default=0, help="that run models (default: as the server does)")
    asked = parser.parse_args()
    extra = {"FEATURESCOPE_THREADS": str(asked.threads)} if asked.threads else {}
    if asked.processes:
        extra["FEATURESCOPE_MODEL_PROCESSES"] = str(asked.processes)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.only:
            found[name] = measure(name, Path(folder), asked.threads, extra)
            for what, value in found[name].items():
                print(f"{name:6} {what:12} {value:10.3f}", flush=True)
    print(json.dumps(found))


def measure(name: str, folder: Path, threads: int, extra: dict[str, str]) -> dict[str, float]:
    """threads: of torch here; extra: what the server's environment says."""
    database = make_large(folder) if name == "large" else make_demo(folder)
    opened = Database(f"sqlite:///{database}")
    with opened.read() as session:
        dictionary = get_dictionary(session, name)
    opened.close()
    loads = LoadedModels("cpu", 8_000_000_000, threads=threads)
    with loads.use(dictionary, Patience(600)) as loaded, serving(database, extra) as address:
        call, get = caller(address, dictionary), getter(address, dictionary)
        bare_ms, call_ms = in_turns([lambda text: bare(loaded, text), call], texts(loaded, ALONE))
        at_rest = percentile([timed(get) for _ in range(PAGES)], 0.95)
        settle(address, dictionary, loaded)
        alone, together = rates(address, dictionary, loaded)
        under_load = percentile(pages_under_load(address, dictionary, loaded, get), 0.95)
        return {
            "ratio": call_ms / bare_ms,
            "speedup_32": together / alone,
            "possible_32": possible(loaded, texts(loaded, CLIENTS, seed=2)),
            "p50_ms": call_ms,
            "extra_ms": call_ms - bare_ms,
            "calls_a_second_32": together,
            "page_ratio": under_load / at_rest,
            "page_p95_ms": 1000 * under_load,
            "steer_ratio": steer_ratio(loaded, Mode.ADD),
            "clamp_ratio": steer_ratio(loaded, Mode.CLAMP),
        }


def make_large(folder: Path) -> Path:
    """A model, an SAE and an index of them, from seeds."""
    workload = Workload("large", activation="relu", **LARGE)  # type: ignore[arg-type]  # one dict of ints
    model = make_model(workload, folder / "model")
    words = {f"w{i}": i for i in range(workload.n_vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(model)
    ids = token_ids(workload)[:4]
    stream = load_language_model(str(model)).capture(ids, torch.ones_like(ids), parse_hook_point(workload.hook))
    sae = make_sae(workload, folder / "sae", stream.reshape(-1, workload.d_model))
    corpus = folder / "corpus.txt"
    corpus.write_text("\n".join(" ".join(f"w{i}" for i in row[:64]) for row in token_ids(workload)[:150].tolist()))
    database = folder / "large.db"
    index(["large", "--model", str(model), "--sae", str(sae), "--corpus", str(corpus)], database)
    return database


def make_demo(folder: Path) -> Path:
    database = folder / "demo.db"
    index(["demo", "--model", "demo", "--sae", "demo", "--corpus", "seed"], database)
    return database


def index(arguments: list[str], database: Path) -> None:
    # --force: random weights are no dictionary, which the check before a build finds.
    asked = [*COMMAND, "index", *arguments, "--db", str(database), "--quality-tokens", "0", "--force"]
    subprocess.run(asked, env=environment(), check=True, stderr=subprocess.DEVNULL)


@contextmanager
def serving(database: Path, extra: dict[str, str]) -> Iterator[str]:
    """The address of a server with its models loaded."""
    port = free_port()
    asked = [*COMMAND, "serve", "--db", str(database), "--port", str(port), "--warm"]
    process = subprocess.Popen(asked, env={**environment(), **extra}, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert "Featurescope is at" in process.stdout.readline()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def texts(loaded: Loaded, n: int, seed: int = 0) -> list[str]:
    """n texts of about TOKENS tokens each."""
    draw = random.Random(seed)
    if loaded.model.tokenizer.convert_ids_to_tokens(1) == "w1":
        return [" ".join(f"w{draw.randrange(1, 20_000)}" for _ in range(TOKENS)) for _ in range(n)]
    return [" ".join(draw.choices(COMMON, k=TOKENS)) for _ in range(n)]


@torch.inference_mode()
def bare(loaded: Loaded, text: str) -> None:
    """What nobody can do without: tokenize, forward to the hook, encode."""
    ids = torch.tensor([[*loaded.bos, *loaded.model.tokenizer(text, add_special_tokens=False)["input_ids"]]])
    stream = loaded.model.capture(ids, torch.ones_like(ids), loaded.hook)
    loaded.sae.encode(stream[0, len(loaded.bos) :])


def possible(loaded: Loaded, asked: list[str]) -> float:
    """Times as fast as one by one that a batch of all the texts is: medians of five, in turns."""
    cut = [windows(loaded.model.tokenizer, text, loaded.window_tokens)[0] for text in asked]
    ways: list[Callable[[], object]] = [
        lambda: [encode_windows(loaded, [window]) for window in cut],
        lambda: encode_windows(loaded, cut),
    ]
    times = [[timed(way) for way in ways] for _ in range(5)]
    one_by_one, together = (statistics.median(seconds) for seconds in zip(*times, strict=True))
    return float(one_by_one / together)


def caller(address: str, dictionary: Dictionary) -> Callable[[str], None]:
    """Posts a text over a connection of its own and reads the answer."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=300)
    path = activations_path(dictionary)

    def call(text: str) -> None:
        body = json.dumps({"texts": [text]})
        connection.request("POST", path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status == 200, content[:500]

    return call


def activations_path(dictionary: Dictionary) -> str:
    return f"/api/v1/dictionaries/{dictionary.id}/activations"


def getter(address: str, dictionary: Dictionary) -> Callable[[], None]:
    """Gets pages of features, one after another: a page that was asked for before may be kept."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=300)
    numbers = iter(range(10**9))

    def get() -> None:
        connection.close()  # a server closes those that are idle, so each page has its own
        connection.request("GET", f"/dictionaries/{dictionary.id}/features/{next(numbers) % dictionary.n_features}")
        answer = connection.getresponse()
        assert answer.read()
        assert answer.status == 200

    return get


def in_turns(ways: list[Callable[[str], None]], asked: list[str]) -> list[float]:
    """The median milliseconds of each way, each text one way and then the other."""
    times: list[list[float]] = [[] for _ in ways]
    for text in [*asked[:3], *asked]:
        for way, kept in zip(ways, times, strict=True):
            kept.append(1000 * timed(partial(way, text)))
    return [statistics.median(kept[3:]) for kept in times]


def clients(address: str, dictionary: Dictionary, asked: list[str], n: int) -> float:
    """The seconds in which n clients at once have had all texts run."""
    asks = asking(address, dictionary, n)
    ran = subprocess.run(asks, input=as_lines(asked), stdout=subprocess.PIPE, text=True, check=True)
    return float(ran.stdout)


def asking(address: str, dictionary: Dictionary, n: int) -> list[str]:
    """The command of n clients in a process of their own."""
    place, path = urlsplit(address).netloc, activations_path(dictionary)
    return [sys.executable, "-m", "bench.live_clients", place, path, str(n)]


def as_lines(asked: list[str]) -> str:
    """Their bodies."""
    return "\n".join(json.dumps({"texts": [text]}) for text in asked)


def settle(address: str, dictionary: Dictionary, loaded: Loaded) -> None:
    """Load, until what comes with it is there; then nobody browses."""
    asked = texts(loaded, CLIENTS * EACH, seed=1)
    settled = time.monotonic() + SETTLES
    while time.monotonic() < settled:
        clients(address, dictionary, asked, CLIENTS)
    time.sleep(BROWSES)


def rates(address: str, dictionary: Dictionary, loaded: Loaded) -> tuple[float, float]:
    """Calls a second of one client and of CLIENTS, each the median of rounds in turns."""
    alone, together = texts(loaded, ALONE), texts(loaded, CLIENTS * EACH, seed=1)
    rounds = [
        (
            len(alone) / clients(address, dictionary, alone, 1),
            len(together) / clients(address, dictionary, together, CLIENTS),
        )
        for _ in range(ROUNDS)
    ]
    return statistics.median(one for one, _ in rounds), statistics.median(many for _, many in rounds)


def pages_under_load(address: str, dictionary: Dictionary, loaded: Loaded, get: Callable[[], None]) -> Sequence[float]:
    """The seconds of PAGES pages while CLIENTS ask."""
    bodies = as_lines(texts(loaded, CLIENTS * EACH, seed=1))
    with subprocess.Popen([*asking(address, dictionary, CLIENTS), "again"], stdin=subprocess.PIPE, text=True) as load:
        assert load.stdin is not None
        load.stdin.write(bodies)
        load.stdin.close()
        try:
            time.sleep(CLIENTS_START)
            pages = [timed(get) for _ in range(PAGES)]
            assert load.poll() is None, "the load ended before its time"
        finally:
            load.kill()
    return pages


def steer_ratio(loaded: Loaded, mode: Mode) -> float:
    """Tokens a second of a base and a steered text together over generate's, best of three in turns."""
    prompt = texts(loaded, 1)[0]
    ids = torch.tensor([[*loaded.bos, *loaded.model.tokenizer(prompt, add_special_tokens=False)["input_ids"]]])
    strengths = [RawStrength(3, 1.0, mode, 1.0, 1.0)]
    asked = SteeringRequest(prompt, [], max_new_tokens=NEW_TOKENS, temperature=0)
    model: Any = loaded.model.model
    options = {"max_new_tokens": NEW_TOKENS, "do_sample": False, "pad_token_id": 0}
    rates: list[tuple[float, float]] = []
    for _ in range(3):
        *_, summary = steer(loaded, asked, strengths, [], lambda step: step())
        assert isinstance(summary, SteeringSummary)
        began = time.perf_counter()
        with torch.inference_mode():
            made = model.generate(ids, attention_mask=torch.ones_like(ids), **options)
        rates.append((summary.tokens_per_second, (made.shape[1] - ids.shape[1]) / (time.perf_counter() - began)))
    return max(ours for ours, _ in rates) / max(theirs for _, theirs in rates)


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def percentile(times: list[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(share * len(times)))]


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    sys.exit(main())
