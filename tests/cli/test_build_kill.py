"""Builds that end in every way a process can end: the same command always goes on to the very same dictionary."""

import contextlib
import random
import shutil
import signal
import sqlite3
import subprocess
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.dumps import same_rows
from tests.forked import Forked, run_forked
from tests.server import run, serving
from tests.tiny import Tiny

pytestmark = pytest.mark.slow
N_KILLS = 20
ENOUGH = 1_000_000  # bytes of firings recorded: about a quarter of them


@pytest.fixture(scope="module")
def arguments(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    corpus = tmp_path_factory.mktemp("corpus") / "many.txt"
    corpus.write_text("\n".join(f"{text} {n}" for n in range(100) for text in tiny.texts[:42]), encoding="utf-8")
    paths = ["--model", str(tiny.model), "--sae", str(tiny.sae), "--corpus", str(corpus)]
    return ["index", "tiny", *paths, "--context", "32", "--quality-tokens", "300", "--force"]


@pytest.fixture(scope="module")
def undisturbed(arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The database of a build that nothing happened to, and how long it took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    command = Forked(arguments, folder)
    began = time.monotonic()
    said = command.rest()
    assert command.returncode == 0, said
    return folder / "featurescope.db", time.monotonic() - began


def test_killed_at_twenty_random_moments(arguments: list[str], undisturbed: tuple[Path, float], tmp_path: Path) -> None:
    """In two folders at once. Every other kill comes once the corpus is recorded. All keep what they finish at once."""
    kill = partial(kill_and_go_on, arguments, undisturbed)
    with ThreadPoolExecutor(2) as pool:
        killed, left_blocks = zip(*pool.map(kill, (tmp_path / "one", tmp_path / "other"), (0, 1)), strict=True)
    assert sum(killed) >= N_KILLS // 2
    assert sum(left_blocks) >= N_KILLS // 5


def kill_and_go_on(arguments: list[str], undisturbed: tuple[Path, float], folder: Path, seed: int) -> tuple[int, int]:
    """Half of the kills, then an undisturbed end. How many there were, and how many left blocks to go on with."""
    path, seconds = undisturbed
    folder.mkdir()
    database = folder / "featurescope.db"
    moments = random.Random(seed)
    killed = left_blocks = 0
    for number in range(N_KILLS // 2):
        process = Forked(arguments, folder, FEATURESCOPE_CHECKPOINT_SECONDS="0")
        is_late = number % 2 == 1
        if is_late:
            wait_until_it_says("Measuring quality", process)
        try:
            # Later ones begin further on, so they are given less time: some end before they are killed.
            process.wait((moments.uniform(0.0, 0.2) if is_late else moments.uniform(0.05, 0.8)) * seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait(30)
            killed += 1
            left_blocks += any((folder / "featurescope.db.builds").glob("tiny/recording/checkpoints/*/*.npz"))
        said = process.rest()
        assert process.returncode in (0, -signal.SIGKILL), f"{folder.name}, kill {number}: {said}"
        # A process may also be killed on its way out, with its dictionary published: then all of that is there.
        published = is_published(database)
        assert published or process.returncode != 0
        if published:
            assert same_rows(database, path)
            for file in folder.glob("featurescope.db*"):
                shutil.rmtree(file) if file.is_dir() else file.unlink()
    assert run(arguments, folder).returncode == 0  # the command as it is typed
    assert same_rows(database, path)
    assert not list((folder / "featurescope.db.builds").glob("*/*"))
    return killed, left_blocks


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_told_to_end_it_says_so_and_goes_on_where_it_was(
    arguments: list[str], undisturbed: tuple[Path, float], tmp_path: Path, stop: signal.Signals
) -> None:
    process = Forked(arguments, tmp_path)
    wait_until(lambda: recorded(tmp_path) > ENOUGH, process)
    process.send_signal(stop)
    said = process.rest()
    assert process.returncode == 130
    assert said.strip().splitlines()[-1].startswith("featurescope: interrupted")
    assert "Traceback" not in said
    _, going_on = run_forked(arguments, tmp_path)
    assert "Going on with the build" in going_on
    assert same_rows(tmp_path / "featurescope.db", undisturbed[0])


def test_something_else_than_before_is_refused_by_name(arguments: list[str], tmp_path: Path) -> None:
    interrupt(arguments, tmp_path)
    status, said = run_forked([*arguments, "--dedup", "--seed", "3"], tmp_path)
    assert status == 1
    assert "made with another dedup and seed" in said
    corpus = Path(arguments[arguments.index("--corpus") + 1])
    text = corpus.read_text(encoding="utf-8")
    corpus.write_text(text + "\nOne more.", encoding="utf-8")
    try:
        assert "made with another corpus_digest" in run_forked(arguments, tmp_path)[1]
        assert run_forked([*arguments, "--restart"], tmp_path)[0] == 0
    finally:
        corpus.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("limit", [3_000, 40_000, 150_000, 400_000, 900_000])
def test_a_disk_that_is_full_anywhere_is_one_sentence(
    arguments: list[str], undisturbed: tuple[Path, float], tmp_path: Path, limit: int
) -> None:
    full = Forked(arguments, tmp_path, largest_file=limit)
    said = full.rest()
    assert full.returncode == 1, said
    assert "disk" in said.strip().splitlines()[-1].lower()
    assert "Traceback" not in said
    status, said = run_forked(arguments, tmp_path)
    assert status == 0, said
    assert same_rows(tmp_path / "featurescope.db", undisturbed[0])


def test_a_second_build_of_one_id_is_refused(arguments: list[str], tmp_path: Path) -> None:
    process = Forked(arguments, tmp_path)
    wait_until(lambda: recorded(tmp_path) > 0, process)
    process.send_signal(signal.SIGSTOP)  # else it may be done before the second has begun
    try:
        status, said = run_forked(arguments, tmp_path)
    finally:
        process.send_signal(signal.SIGCONT)
    assert status == 1
    assert "Another process is building" in said
    said = process.rest()
    assert process.returncode == 0, said


def test_readers_see_no_half_of_a_build_and_no_error(arguments: list[str], tmp_path: Path) -> None:
    assert run_forked(arguments, tmp_path)[0] == 0
    with serving(tmp_path, "serve", "--no-model") as address:
        process = Forked([*arguments, "--replace", "--dedup"], tmp_path)
        answers = set()
        while process.poll() is None:
            with urllib.request.urlopen(f"{address}/api/v1/dictionaries/tiny/features/3/examples") as answer:
                assert answer.status == 200
                answers.add(answer.read())
            time.sleep(0.05)
        assert process.returncode == 0
        with urllib.request.urlopen(f"{address}/api/v1/dictionaries/tiny/features/3/examples") as answer:
            answers.add(answer.read())
    assert len(answers) <= 2  # the old one, then the new one
    with sqlite3.connect(tmp_path / "featurescope.db") as connection:
        assert connection.execute("SELECT count(*) FROM dictionaries").fetchone() == (1,)


def is_published(file: Path) -> bool:
    with contextlib.closing(sqlite3.connect(file)) as connection, contextlib.suppress(sqlite3.OperationalError):
        return connection.execute("SELECT count(*) FROM dictionaries WHERE published").fetchone() != (0,)
    return False  # killed before it had tables


def wait_until_it_says(words: str, process: Forked) -> None:
    assert any(words in line for line in process.stdout)


def recorded(folder: Path) -> int:
    """Bytes of firings that are recorded so far."""
    file = folder / "featurescope.db.builds" / "tiny" / "recording" / "values.f32"
    return file.stat().st_size if file.exists() else 0


def wait_until(happened: Callable[[], bool], process: Forked) -> None:
    until = time.monotonic() + 120
    while not happened():
        assert process.poll() is None, process.rest()
        assert time.monotonic() < until
        time.sleep(0.01)


def interrupt(arguments: list[str], folder: Path) -> None:
    process = Forked(arguments, folder)
    wait_until(lambda: recorded(folder) > ENOUGH, process)
    process.send_signal(signal.SIGINT)
    process.rest()
