"""How long a whole build takes, as a multiple of what no index can do without, over fixed seeded workloads.

python -m bench.index [--only small_relu ...] [--turns 3] [--dtype bfloat16] [--profile] [--parts]

The floor is timed in the same process on the same batches, in turns with the build, best of all turns, after both did
the first 32,768 tokens once untimed: the forward up to the hook's layer as transformers runs it, one encode product and
torch's plain relu or topk, and the products features x vocabulary and features x features. The build is all that
`featurescope index` does from token ids to the published dictionary, without the figures of quality, which need whole
forwards. With --dtype bfloat16 the build runs in it, the floor stays in float32, and what that changes in
the answers is printed.
The last line is JSON: build_s, floor_s, ratio, cpu_ratio (of processor seconds over all threads: on a machine that does
other work too, run with OMP_NUM_THREADS=1 and go by this one), peak_mb (above what was in use before the build),
bytes_per_feature and bytes_per_sentence of the database.
"""

import argparse
import cProfile
import json
import pstats
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers.activations import NewGELUActivation

from app.domain import Group
from app.engine.hook_points import parse_hook_point
from app.engine.language_model import LanguageModel
from app.engine.model_files import DTYPES, load_language_model
from app.engine.products import Quick
from app.engine.sae import load_sae
from app.index.build import CHECKPOINTS, make_reader
from app.index.finish import finish_build
from app.index.fired import encoded_at_once
from app.index.neighbors import has_fast_bfloat16
from app.index.options import BuildOptions
from app.index.pieces import Piece
from app.index.reader import Reader
from app.index.record import record_corpus
from app.index.recorded import Recording, part_of_folder
from app.index.recording import RecordingWriter
from app.memory import share_memory
from app.store.database import Database
from app.store.dictionaries import get_dictionary
from app.store.examples import list_examples
from app.store.features import get_feature
from bench.index_parts import parts
from bench.workloads import WORKLOADS, K, Workload, make_model, make_pieces, make_sae, token_ids

BATCH_TOKENS = 4096
COMPARED = 300  # features whose answers in bfloat16 are compared


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [workload.name for workload in WORKLOADS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--profile", action="store_true", help="print where a build spends its time")
    parser.add_argument("--parts", action="store_true", help="print each part's seconds; run with OMP_NUM_THREADS=1")
    asked = parser.parse_args()
    share_memory()  # as a build does
    if asked.dtype == "bfloat16" and not has_fast_bfloat16():
        print("This processor has no bfloat16 arithmetic (avx512_bf16 or amx): expect it to be slower than float32.")
    results = {}
    for workload in WORKLOADS:
        if workload.name in asked.only:
            with tempfile.TemporaryDirectory() as folder:
                results[workload.name] = run(workload, Path(folder), asked)
            print(f"{workload.name}: {results[workload.name]}", flush=True)
    print(json.dumps(results))


def run(workload: Workload, folder: Path, asked: argparse.Namespace) -> dict[str, float]:
    turns, dtype = asked.turns, asked.dtype
    ids = token_ids(workload)
    model = str(make_model(workload, folder / "model"))
    probe = load_language_model(model)
    hook = parse_hook_point(workload.hook)
    sample = probe.capture(ids[:16], torch.ones_like(ids[:16]), hook).flatten(0, 1)
    sae = str(make_sae(workload, folder / "sae", sample))
    options = BuildOptions(
        "bench", None, model, sae, [], context=workload.context, batch_tokens=BATCH_TOKENS, quality_tokens=0, force=True
    )
    reader = make_reader(options, probe, load_sae(Path(sae)))
    bare = make_reader(options, bare_model(model), load_sae(Path(sae)))
    built = reader
    if dtype != "float32":
        built = make_reader(options, load_language_model(model, dtype=dtype), load_sae(Path(sae), dtype=DTYPES[dtype]))
    pieces = make_pieces(ids)
    floors: list[Seconds] = []
    builds: list[Seconds] = []
    peaks = []
    floor(bare, ids[: len(pieces[0].windows)], workload)
    build(options, built, pieces[:1], folder, "warm")
    for turn in range(turns):
        floors.append(timed(lambda: floor(bare, ids, workload)))
        is_last = turn == turns - 1
        with peak_memory() as peak, profiled(asked.profile and is_last), in_parts(asked.parts and is_last):
            builds.append(timed(lambda: build(options, built, pieces, folder, f"{turn}")))  # noqa: B023
        peaks.append(peak())
        print(f"{workload.name} turn {turn + 1}: floor {floors[-1]}, build {builds[-1]}", file=sys.stderr)
    sizes = database_sizes(folder / "0.db", workload)
    if dtype != "float32":
        build(options, reader, pieces, folder, "exact")
        print_accuracy(folder / "exact.db", folder / "0.db", workload)
    return {
        "build_s": round(min(s.wall for s in builds), 2),
        "floor_s": round(min(s.wall for s in floors), 2),
        "ratio": round(min(s.wall for s in builds) / min(s.wall for s in floors), 3),
        "cpu_ratio": round(min(s.processor for s in builds) / min(s.processor for s in floors), 3),
        "peak_mb": round(max(peaks)),
        **sizes,
    }


def bare_model(source: str) -> LanguageModel:
    """The model as transformers and torch run it: with the GELU of the one and the products of the other."""
    model = load_language_model(source)
    for module in model.model.modules():
        if isinstance(module, Quick):
            module.__class__ = type(module).__bases__[1]
    for block in model.model.transformer.h:
        block.mlp.act = NewGELUActivation()
    return model


@torch.inference_mode()
def floor(reader: Reader, ids: torch.Tensor, workload: Workload) -> None:
    sae, model = reader.sae, reader.model
    rows = BATCH_TOKENS // workload.context
    for batch in ids.split(rows):
        x = model.capture(batch, torch.ones_like(batch), reader.hook).flatten(0, 1)
        # In blocks that stay in the cache, as the build takes them: the whole batch at once would be slower.
        for some in x.split(encoded_at_once(sae)):
            before = torch.addmm(sae.encoder_bias, some, sae.encoder)
            torch.relu(before) if workload.activation == "relu" else before.topk(K, dim=1)
    unembedding = model.unembedding().weight
    for some in sae.decoder.split(128):
        some @ unembedding.T
    for some in sae.decoder.split(256):
        some @ sae.decoder.T


def build(options: BuildOptions, reader: Reader, pieces: list[Piece], folder: Path, name: str) -> None:
    """As build_index, from where texts are token ids."""
    work = folder / f"{name}.work"
    n_features = reader.sae.n_features
    writer = RecordingWriter(work, {}, n_features, with_norms=False)
    record_corpus(reader, pieces, writer, lambda *_: None, options.checkpoint_seconds)
    writer.close()
    database = Database(f"sqlite:///{folder / name}.db")
    recording = Recording([part_of_folder(work)], n_features)
    finish_build(options, database, {"corpus": []}, reader, recording, work / CHECKPOINTS)
    database.close()


@dataclass(frozen=True)
class Seconds:
    """By the clock, and of processors over all threads."""

    wall: float
    processor: float

    def __str__(self) -> str:
        return f"{self.wall:.2f} s ({self.processor:.2f} s of processors)"


def timed(what: Callable[[], Any]) -> Seconds:
    wall, processor = time.perf_counter(), time.process_time()
    what()
    return Seconds(time.perf_counter() - wall, time.process_time() - processor)


@contextmanager
def peak_memory() -> Iterator[Callable[[], float]]:
    """Gives a function that says, in MB, how far this process' resident memory rose above where it was."""
    before = highest = resident_mb()
    stop = threading.Event()

    def watch() -> None:
        nonlocal highest
        while not stop.wait(0.02):
            highest = max(highest, resident_mb())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield lambda: highest - before
    finally:
        stop.set()
        thread.join()


def resident_mb() -> float:
    """Without pages of mapped files, which the system takes back when it needs them."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return 0.0


@contextmanager
def profiled(wanted: bool) -> Iterator[None]:
    profile = cProfile.Profile()
    if wanted:
        profile.enable()
    yield
    if wanted:
        profile.disable()
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(30)


@contextmanager
def in_parts(wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    with parts() as seconds:
        yield
    for part, spent in seconds.most_common():
        print(f"{part:32}{spent:8.2f} s", file=sys.stderr)


def database_sizes(path: Path, workload: Workload) -> dict[str, float]:
    with sqlite3.connect(path) as connection:
        size = "SELECT count(*), sum(length(text) + length(boundaries) + length(metadata) + 24) FROM sentences"
        n_sentences, of_sentences = connection.execute(size).fetchone()
    return {
        "bytes_per_feature": round((path.stat().st_size - of_sentences) / workload.n_features),
        "bytes_per_sentence": round(of_sentences / n_sentences),
    }


def print_accuracy(exact: Path, other: Path, workload: Workload) -> None:
    """How far the answers in bfloat16 are from those in float32, over the first features."""
    databases = [Database(f"sqlite:///{path}") for path in (exact, other)]
    with databases[0].read() as one, databases[1].read() as two:
        sessions = [(session, get_dictionary(session, "bench")) for session in (one, two)]
        errors, shared = [], []
        for index in range(min(COMPARED, workload.n_features)):
            a, b = (get_feature(session, dictionary, index) for session, dictionary in sessions)
            if a.max_activation:
                errors.append(abs(a.max_activation - b.max_activation) / a.max_activation)
            tops = [
                {example.sentence for example in list_examples(session, dictionary, index, Group.TOP, None, 20).items}
                for session, dictionary in sessions
            ]
            if tops[0]:
                shared.append(len(tops[0] & tops[1]) / len(tops[0]))
        l0 = [dictionary.quality.l0 for _, dictionary in sessions]
    errors.sort()
    print(
        f"{workload.name} in bfloat16: L0 {l0[1]:.2f} for {l0[0]:.2f}; maximum off by {errors[len(errors) // 2]:.2%} "
        f"in the median and {errors[-1]:.2%} at most; {sum(shared) / len(shared):.1%} of the strongest examples shared"
    )
    for database in databases:
        database.close()


if __name__ == "__main__":
    main()
