"""How much longer recording takes than the bare forward and encode of the same batches.

python -m bench.index_speed [--sentences 2000]
The floor runs the model up to the hook point and the SAE's encoder over the same texts, in batches of the same size,
and keeps nothing. The ratio is what reading, tokenizing, keeping every activation, and reducing cost on top.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch

from app.engine.demo import DEMO, demo_folder, sae_path
from app.engine.language_model import load_language_model
from app.engine.sae import load_sae
from app.index.build import BuildOptions, build_index, make_reader
from app.index.corpus import corpus_files, read_records
from app.store.database import Database


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=int, default=2000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus.jsonl"
        with (demo_folder() / "corpus.jsonl").open(encoding="utf-8") as lines:
            corpus.write_text("".join(line for line, _ in zip(lines, range(asked.sentences), strict=False)))
        options = BuildOptions("bench", None, DEMO, DEMO, [str(corpus)], quality_tokens=0)
        reader = make_reader(options, load_language_model(DEMO), load_sae(sae_path(DEMO)))
        texts = [record.text for record in read_records(corpus_files([str(corpus)]))]
        windows = sorted((w for text in texts for w in reader.windows(text)), key=lambda w: len(w.token_ids))
        n_tokens = sum(len(window.token_ids) for window in windows)

        def floor() -> float:
            start = time.perf_counter()
            batch = []
            for window in windows:
                if batch and (len(batch) + 1) * (len(window.token_ids) + 1) > reader.batch_tokens:
                    run(batch)
                    batch = []
                batch.append(window)
            run(batch)
            return time.perf_counter() - start

        @torch.inference_mode()
        def run(batch: list) -> None:
            ids, mask = reader.batch(batch)
            reader.sae.encode(reader.model.capture(ids, mask, reader.hook)[mask.bool()])

        floor()
        floors, builds = [], []
        for turn in range(3):
            floors.append(floor())
            database = Database(f"sqlite:///{folder}/{turn}.db")
            start = time.perf_counter()
            build_index(options, database, Path(folder) / f"work{turn}")
            builds.append(time.perf_counter() - start)
            database.close()
    print(f"{n_tokens:,} tokens; floor {n_tokens / min(floors):,.0f} tokens/s")
    print(f"whole build / floor: {min(builds) / min(floors):.2f} (best of 3 each; loading the model is in the build)")


if __name__ == "__main__":
    main()
