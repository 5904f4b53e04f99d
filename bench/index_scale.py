"""How a build's time and memory grow: with tokens, features and context; and what 131,072 features take.

python -m bench.index_scale tokens | features | context
python -m bench.index_scale wide [--tokens 1048576]

The first three build the small workload at four sizes, each in a process of its own, and print processor seconds (all
threads), memory above what was in use before, and seconds of the thread that each part runs in. `wide` has 131,072
features and no forward: activations are made up and recorded, 50 a token. Everything else of a build follows, to the
published dictionary. With OMP_NUM_THREADS=1 the parts' seconds are all that each takes, whatever else the machine does.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from app.engine.hook_points import parse_hook_point
from app.engine.model_files import load_language_model
from app.engine.sae import load_sae
from app.engine.tokens import Window
from app.index.build import make_reader
from app.index.corpus import Record
from app.index.finish import finish_build
from app.index.options import BuildOptions
from app.index.pieces import Piece, Placed
from app.index.reader import Reader
from app.index.record import CHUNK_TOKENS
from app.index.recorded import Recording, part_of_folder
from app.index.recording import Chunk, RecordingWriter
from app.memory import share_memory
from app.store.database import Database
from bench.index import BATCH_TOKENS, build, peak_memory, timed
from bench.index_parts import parts
from bench.workloads import L0, WORKLOADS, Workload, make_model, make_pieces, make_sae, spans, token_ids, word

SMALL = next(workload for workload in WORKLOADS if workload.name == "small_relu")
POINTS = {
    "tokens": [replace(SMALL, n_tokens=n) for n in (32_768, 65_536, 131_072, 262_144)],
    "features": [replace(SMALL, n_tokens=65_536, n_features=n) for n in (2048, 4096, 8192, 16_384)],
    "context": [replace(SMALL, n_tokens=65_536, context=n) for n in (64, 128, 256, 512)],
}
WIDE = replace(SMALL, n_features=131_072)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*POINTS, "wide"])
    parser.add_argument("--point", type=int, help="one of the sizes alone, in this process")
    parser.add_argument("--tokens", type=int, default=1 << 20, help="of wide")
    asked = parser.parse_args()
    share_memory()  # as a build does
    with tempfile.TemporaryDirectory() as folder:
        if asked.what == "wide":
            wide(Path(folder), asked.tokens)
        elif asked.point is not None:
            point(POINTS[asked.what][asked.point], Path(folder))
        else:
            for number in range(len(POINTS[asked.what])):
                subprocess.check_call([sys.executable, "-m", "bench.index_scale", asked.what, "--point", str(number)])


def open_reader(workload: Workload, folder: Path) -> tuple[Reader, BuildOptions]:
    ids = token_ids(replace(workload, n_tokens=16 * workload.context))
    model = str(make_model(workload, folder / "model"))
    probe = load_language_model(model)
    sample = probe.capture(ids, torch.ones_like(ids), parse_hook_point(workload.hook)).flatten(0, 1)
    sae = str(make_sae(workload, folder / "sae", sample[:256]))
    options = BuildOptions(
        *("bench", None, model, sae, []),
        context=workload.context,
        batch_tokens=BATCH_TOKENS,
        quality_tokens=0,
        force=True,
    )
    return make_reader(options, probe, load_sae(Path(sae))), options


def point(workload: Workload, folder: Path) -> None:
    reader, options = open_reader(workload, folder)
    pieces = make_pieces(token_ids(workload))
    with peak_memory() as peak, parts() as seconds:
        took = timed(lambda: build(options, reader, pieces, folder, "point"))
    print(
        f"{workload.n_tokens:,} tokens, {workload.n_features:,} features, context {workload.context}: "
        f"{took.processor:.1f} s of processors, {peak():.0f} MB",
        flush=True,
    )
    print(", ".join(f"{part} {spent:.2f}" for part, spent in seconds.items() if spent >= 0.05), flush=True)


def wide(folder: Path, n_tokens: int) -> None:
    reader, options = open_reader(WIDE, folder)
    database = Database(f"sqlite:///{folder / 'wide.db'}")
    began = time.process_time()
    with parts() as seconds:
        with peak_memory() as peak:
            record_made_up(folder / "recording", n_tokens)
            recorded = peak()
        with peak_memory() as peak:
            recording = Recording([part_of_folder(folder / "recording")], WIDE.n_features)
            finish_build(options, database, {"corpus": []}, reader, recording, folder / "checkpoints")
            finished = peak()
    database.close()
    print(f"{recording.n_tokens:,} tokens in {recording.n_windows:,} sentences, {WIDE.n_features:,} features")
    print(f"memory: {recorded:.0f} MB recording, {finished:.0f} MB from then on, model and SAE apart")
    print(f"{'all, processor seconds':32}{time.process_time() - began:8.1f}")
    for part, spent in seconds.items():
        print(f"{part:32}{spent:8.1f}", flush=True)


def record_made_up(folder: Path, n_tokens: int) -> None:
    writer = RecordingWriter(folder, {}, WIDE.n_features, with_norms=False)
    for number, chunk in enumerate(made_up(n_tokens)):
        writer.append(chunk)
        writer.finish_piece(Piece(number, [], 0))
    writer.complete()
    writer.close()


def made_up(n_tokens: int) -> Iterator[Chunk]:
    """Chunks in which every token has L0 features, some of which fire often and most seldom."""
    draw = np.random.default_rng(0)
    width = WIDE.n_features // L0
    words = [word(token) for token in range(10_000, 10_000 + WIDE.context)]
    ends = list(spans(words))
    n_windows = CHUNK_TOKENS // WIDE.context
    for number in range(-(-n_tokens // CHUNK_TOKENS)):
        first = number * n_windows
        # The first word is the sentence's own number, as long as the word it replaces.
        texts = [f" {first + i:06d}" + "".join(words)[7:] for i in range(n_windows)]
        placed = [
            Placed(Window(text, [], ends, 0), first + i, Record(text, {}, "", first + i, 0))
            for i, text in enumerate(texts)
        ]
        within = (draw.random((CHUNK_TOKENS, L0)) ** 3 * width).astype(np.uint32)
        yield Chunk(
            piece=number,
            n_bos=0,
            lengths=np.full(n_windows, WIDE.context, np.uint32),
            token_ids=(draw.random(CHUNK_TOKENS) ** 3 * WIDE.n_vocabulary).astype(np.uint32),
            rows=np.repeat(np.arange(CHUNK_TOKENS, dtype=np.uint32), L0),
            features=(within + np.arange(L0, dtype=np.uint32) * np.uint32(width)).ravel(),
            values=draw.random(CHUNK_TOKENS * L0, np.float32) + np.float32(0.01),
            norms=None,
            windows=placed,
        )


if __name__ == "__main__":
    main()
