"""The command line, run as a program."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.forked import run_forked
from tests.server import environment, free_port, run, serving, start
from tests.tiny import Tiny

pytestmark = pytest.mark.slow


def index_arguments(tiny: Tiny, *more: str) -> list[str]:
    paths = ["--model", str(tiny.model), "--sae", str(tiny.sae), "--corpus", str(tiny.corpus)]
    return ["index", "tiny", *paths, "--context", "32", "--force", *more]


def test_index_serve_list_and_remove(tiny: Tiny, tmp_path: Path) -> None:
    done = run(index_arguments(tiny), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "tiny is indexed: 24 features" in done.stderr
    assert re.search(r"Recording: 100%.*[\d,]+ tokens, [\d,]+ tokens/s, [\d,]+ features alive", done.stderr)
    assert not list((tmp_path / "featurescope.db.builds").glob("*/*"))
    listed = run(["dictionaries"], tmp_path)
    assert listed.stdout.startswith("tiny\t24 features")
    with (
        serving(tmp_path, "serve") as address,
        urllib.request.urlopen(f"{address}/api/v1/dictionaries") as answer,
    ):
        assert json.load(answer)["dictionaries"][0]["id"] == "tiny"
    again = run(index_arguments(tiny), tmp_path)
    assert (again.returncode, "--replace" in again.stderr) == (1, True)
    assert "--yes" in run(["remove", "tiny"], tmp_path).stderr
    assert run(["remove", "tiny", "--yes"], tmp_path).returncode == 0
    assert run(["dictionaries"], tmp_path).stdout == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["index", "x", "--model", "/no/model", "--sae", "demo", "--corpus", "seed"], "no model at /no/model"),
        (["index", "x", "--model", "demo", "--sae", "/no/sae", "--corpus", "seed"], "/no/sae"),
        (["index", "x", "--model", "demo", "--sae", "demo", "--corpus", "none.txt"], "no corpus file none.txt"),
        (["index", "x", "--model", "demo", "--sae", "demo", "--corpus", "seed", "--device", "warp"], "--device warp"),
        (["index", "x", "--model", "demo", "--sae", "demo", "--corpus", "seed", "--dtype", "int3"], "--dtype"),
        (["serve", "--db", "/no/such/folder/x.db"], "no folder"),
        (["serve", "--port", "99999"], "from 1 to 65535"),
        (["dictionaries"], "no database"),
        (["remove", "nope", "--yes"], "no database"),
    ],
)
def test_an_error_is_one_sentence_without_a_traceback(tmp_path: Path, arguments: list[str], says: str) -> None:
    done = run(arguments, tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert says in done.stderr.strip().splitlines()[-1]


def test_a_port_in_use_is_said_at_once(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run(["serve", "--port", str(taken.getsockname()[1])], tmp_path)
    assert done.returncode == 1
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_says_what_is_here(tmp_path: Path) -> None:
    done = run(["doctor"], tmp_path)
    assert done.returncode == 0
    assert "demo: model and SAE" in done.stdout
    assert f"Python {sys.version.split()[0]}" in done.stdout


def test_browsing_loads_no_model_code(tmp_path: Path) -> None:
    code = "import sys, app.main; print([n for n in ('torch', 'transformers', 'alembic') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_folder_that_cannot_be_written_to_is_named(tiny: Tiny, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        folder = Path("/proc/featurescope")  # root may write anywhere else
        done = run(["serve", "--db", str(folder / "x.db")], tmp_path)
    else:
        folder = tmp_path / "fixed"
        folder.mkdir()
        folder.chmod(0o500)
        done = run(["serve", "--db", str(folder / "x.db")], tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert str(folder) in done.stderr


def test_doctor_says_whether_an_sae_fits(tmp_path: Path) -> None:
    status, said = run_forked(["doctor", "--model", "demo", "--sae", "demo"], tmp_path)
    assert status == 0
    assert "It fits." in said
    assert "It reads blocks.4.hook_attn_out" in said
    status, said = run_forked(["doctor", "--sae", "demo", "--hook", "blocks.4.hook_attn_out"], tmp_path)
    assert status == 1
    assert "Give --hook blocks.5.hook_attn_out." in said


def test_what_does_not_fit_is_not_indexed(tiny: Tiny, tmp_path: Path) -> None:
    build = ["index", "x", "--sae", "demo", "--hook", "blocks.4.hook_attn_out", "--corpus", "seed"]
    status, said = run_forked(build, tmp_path)
    assert (status, "Give --hook blocks.5.hook_attn_out." in said) == (1, True)
    without_force = [part for part in index_arguments(tiny) if part != "--force"]
    status, said = run_forked(without_force, tmp_path)
    assert (status, "--force" in said) == (1, True)


def test_saes_lists_what_a_name_could_be(tmp_path: Path) -> None:
    releases = run(["saes"], tmp_path).stdout
    assert "saelens:gpt2-small-res-jb/..." in releases
    found = run(["saes", "GPT2 jb resid_pre"], tmp_path).stdout.splitlines()
    assert any(
        line.split()[:2] == ["saelens:gpt2-small-res-jb/blocks.8.hook_resid_pre", "openai-community/gpt2"]
        for line in found
    )
    assert "No published SAE" in run(["saes", "nothing-like-it"], tmp_path).stderr


def test_a_server_that_is_stopped_by_the_keyboard_has_done_what_it_was_told(tmp_path: Path) -> None:
    process = start(["serve", "--port", str(free_port())], tmp_path)
    assert process.stdout is not None
    assert "Featurescope is at" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")
