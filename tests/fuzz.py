"""Made-up calls of the whole API, held against its own OpenAPI document by schemathesis: every check there is.

python -m tests.fuzz [--cases 5000] [--seed 1]

The server is the real command over the tiny index, with its model, and signs in by token, so that missing and wrong
tokens are tried too. Cases are shared out evenly among the calls.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from app.roles import Role
from app.store.database import Database
from app.store.dictionaries import get_dictionary
from app.store.labels import add_label
from app.store.tokens import create_token
from tests.conftest import index_tiny
from tests.fuzz_hooks import LABELLED, LABELLED_FEATURE, N_CHANGES
from tests.server import environment, serving
from tests.tiny import make_tiny


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tiny = make_tiny(folder / "tiny")
        index_tiny(tiny, folder / "featurescope.db")
        secret = _prepare(folder / "featurescope.db")

        # Wrong tokens are among what is tried; none of them must lock out those after it.
        arguments = ("serve", "--access", "token", "--warm", "--live-rate", "0")
        with serving(folder, *arguments, FEATURESCOPE_WRONG_TOKENS="0") as address:
            sys.exit(_run(address, secret, asked.cases, asked.seed, folder))


def _prepare(file: Path) -> str:
    """Labels of one feature, whose changes can be undone, and a token that may label."""
    database = Database(f"sqlite:///{file}")
    try:
        with database.write() as session:
            dictionary = get_dictionary(session, LABELLED)
            for number in range(N_CHANGES):
                add_label(session, dictionary, LABELLED_FEATURE, f"label {number}", "Fuzz")
            return create_token(session, "Fuzz", Role.LABEL, {}, None)[1]
    finally:
        database.close()


def _run(address: str, secret: str, cases: int, seed: int, folder: Path) -> int:
    with urllib.request.urlopen(f"{address}/api/openapi.json", timeout=30) as answer:
        document = json.load(answer)
    calls = sum(len(methods) for methods in document["paths"].values())
    each = max(1, -(-cases // calls))
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{address}/api/openapi.json",
        "--header",
        f"Authorization: Bearer {secret}",
        "--checks=all",
        "--request-timeout=60",
        f"--max-examples={each}",
        f"--seed={seed}",
        "--generation-database=none",
        "--continue-on-failure",
        "--report=ndjson",
        f"--report-ndjson-path={folder / 'events.ndjson'}",
    ]
    # 428 asks for a version that the schema leaves out, since its absence has an answer of its own.
    accepted = json.dumps(["2xx", "3xx", "401", "403", "404", "409", "428", "429", "503"])
    (folder / "schemathesis.toml").write_text(f"[checks.positive_data_acceptance]\nexpected-statuses = {accepted}\n")
    environ = environment() | {"SCHEMATHESIS_HOOKS": "tests.fuzz_hooks"}
    done = subprocess.run(command, cwd=folder, env=environ, check=False, text=True, capture_output=True)
    print(done.stdout)
    print(done.stderr, file=sys.stderr)
    found = re.search(r"([\d,]+) generated", done.stdout)
    print(f"{calls} calls, {found[1] if found else '?'} cases")
    return done.returncode


if __name__ == "__main__":
    main()
