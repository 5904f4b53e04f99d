"""How long SAEDashboard takes for what a build does: the same model, SAE and tokens, each in a process of its own.

python -m bench.peers [--features 1024] [--tokens 32768] [--environment .venv-peers]

The environment is made with the versions that work together (see requirements.txt). Both are asked for every feature of
the SAE. SAEDashboard takes 256 at a time, which is its default, and runs the model anew for each; it is timed without
writing its pages. Ours is timed to the committed database. The last line is JSON: seconds of each, and how many times
as long theirs took.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from app.engine.hook_points import parse_hook_point
from app.engine.model_files import load_language_model
from app.engine.sae import load_sae
from app.index.build import make_reader
from app.index.options import BuildOptions
from bench.index import BATCH_TOKENS, build
from bench.workloads import WORKLOADS, Workload, make_model, make_pieces, make_sae, token_ids

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=1024)
    parser.add_argument("--tokens", type=int, default=32_768)
    parser.add_argument("--environment", type=Path, default=Path(".venv-peers"))
    asked = parser.parse_args()
    make_environment(asked.environment)
    small = next(workload for workload in WORKLOADS if workload.name == "small_relu")
    workload = replace(small, n_features=asked.features, n_tokens=asked.tokens)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ids = token_ids(workload)
        model = str(make_model(workload, folder / "model"))
        probe = load_language_model(model)
        sample = probe.capture(ids[:16], torch.ones_like(ids[:16]), parse_hook_point(workload.hook)).flatten(0, 1)
        sae = str(make_sae(workload, folder / "sae", sample))
        np.save(folder / "tokens.npy", ids.numpy())
        theirs = run_theirs(asked.environment, folder, workload)
        options = BuildOptions(
            *("bench", None, model, sae, []),
            context=workload.context,
            batch_tokens=BATCH_TOKENS,
            quality_tokens=0,
            force=True,
        )
        reader = make_reader(options, probe, load_sae(Path(sae)))
        begin = time.perf_counter()
        build(options, reader, make_pieces(ids), folder, "ours")
        ours = time.perf_counter() - begin
    found = {"sae_dashboard_s": round(theirs, 2), "featurescope_s": round(ours, 2), "ratio": round(theirs / ours, 1)}
    print(json.dumps(found))


def make_environment(folder: Path) -> None:
    if (folder / "ready").exists():
        return
    venv.create(folder, with_pip=True)
    torch_pin = [line for line in Path("constraints.txt").read_text().split() if line.startswith("torch==")]
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.check_call([*pip, "install", *torch_pin])
    subprocess.check_call([*pip, "install", *torch_pin, "-r", str(HERE / "requirements.txt")])
    # They come with another torch than ours, and nothing here needs them.
    subprocess.check_call([*pip, "uninstall", "--yes", "torchvision", "torchaudio"])
    (folder / "ready").touch()


def run_theirs(environment: Path, folder: Path, workload: Workload) -> float:
    command = [environment / "bin" / "python", HERE / "run_sae_dashboard.py", folder, workload.hook]
    # Its progress bars go by; what counts is its last line.
    answer = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return float(answer.stdout.splitlines()[-1])


if __name__ == "__main__":
    sys.exit(main())
