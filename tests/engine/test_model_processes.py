"""Helpers for a small model: begun while many ask at once, of the same answers, and gone when that is over."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from app.domain import Dictionary
from app.engine import model_processes as subject
from app.engine.live_texts import RunText
from app.engine.patience import Patience
from app.engine.runtime import Runtime
from app.errors import Busy
from app.settings import Settings
from tests.engine.processes import model_processes

pytestmark = pytest.mark.slow  # each process imports torch
TEXTS = ("The match and the serve", "rain", "onion, pan and oven")
AT_ONCE = 2 * subject.MANY


@pytest.fixture(autouse=True)
def two_processors_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "n_processors", lambda: 2)
    monkeypatch.setattr(subject, "A_LOOK", 60)


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    made = Runtime(Settings(max_waiting=AT_ONCE))
    yield made
    made.close()


def run(runtime: Runtime, dictionary: Dictionary, text: str) -> RunText:
    (found,) = runtime.run_texts(dictionary, [text], 5, [], Patience(240))
    return found


@contextmanager
def many(runtime: Runtime, dictionary: Dictionary) -> Iterator[list[tuple[str, RunText]]]:
    """AT_ONCE clients that ask all the while; what they were answered."""
    answers: list[tuple[str, RunText]] = []
    over = threading.Event()

    def ask(number: int) -> None:
        text = TEXTS[number % len(TEXTS)]
        while not over.is_set():
            answers.append((text, run(runtime, dictionary, text)))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        asking = [pool.submit(ask, number) for number in range(AT_ONCE)]
        try:
            yield answers
        finally:
            over.set()
    for one in asking:
        one.result()


def wait_for(condition: Callable[[], object]) -> None:
    until = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.02)


def has_helper(runtime: Runtime) -> bool:
    return any(helper.ready for helper in runtime.processes.helpers)


def n_windows_of_helper(runtime: Runtime) -> int:
    (helper,) = runtime.processes.helpers
    return int(helper.process.call(Patience(30), "use").n_windows)


def begin(runtime: Runtime, dictionary: Dictionary) -> tuple[set[int], int]:
    """The processes that others run, and this one's first."""
    others = model_processes()
    run(runtime, dictionary, "a")
    (first,) = model_processes() - others
    return others, first


def test_while_many_ask_a_helper_takes_its_share_answers_the_same_and_ends_afterwards(
    runtime: Runtime, dictionary: Dictionary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "IDLE", 3)
    others = model_processes()
    alone = {text: run(runtime, dictionary, text) for text in TEXTS}
    (first,) = model_processes() - others
    weights = runtime.use().n_bytes
    with many(runtime, dictionary) as answers:
        wait_for(lambda: has_helper(runtime) and n_windows_of_helper(runtime) > 50)
        assert runtime.use().n_bytes == 2 * weights
    for text, found in answers:
        assert found.kept.features.tolist() == alone[text].kept.features.tolist()
        assert found.kept.peaks == pytest.approx(alone[text].kept.peaks, abs=1e-5)
    wait_for(lambda: not runtime.processes.helpers)
    assert model_processes() - others == {first}
    use = runtime.use()
    assert use.n_windows == len(TEXTS) + len(answers)  # counted in whichever process
    assert use.n_bytes == weights


def test_of_two_processors_the_first_process_has_one_to_itself_while_there_is_a_helper(
    runtime: Runtime, dictionary: Dictionary, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = os.sched_getaffinity(0)
    one, other = frozenset((min(usual),)), frozenset((max(usual),))
    monkeypatch.setattr(subject, "halves", lambda: (one, other))
    monkeypatch.setattr(subject, "IDLE", 3)
    others, first = begin(runtime, dictionary)
    with many(runtime, dictionary):
        wait_for(lambda: has_helper(runtime))
        (helper,) = model_processes() - others - {first}
        wait_for(lambda: os.sched_getaffinity(0) == one)
        assert os.sched_getaffinity(first) == other
        assert os.sched_getaffinity(helper) == one
    wait_for(lambda: not runtime.processes.helpers)
    assert os.sched_getaffinity(0) == os.sched_getaffinity(first) == usual


def test_nobody_notices_that_a_helper_was_killed_and_the_next_waits_a_while(
    runtime: Runtime, dictionary: Dictionary
) -> None:
    others, first = begin(runtime, dictionary)
    with many(runtime, dictionary) as answers:
        wait_for(lambda: has_helper(runtime) and n_windows_of_helper(runtime))
        (helper,) = model_processes() - others - {first}
        os.kill(helper, signal.SIGKILL)
        wait_for(lambda: not runtime.processes.helpers)
        n = len(answers)
        wait_for(lambda: len(answers) > n + 10 * AT_ONCE)
    assert not runtime.processes.helpers
    assert model_processes() - others == {first}


def test_a_helper_is_for_many_and_asked_for_each_build_and_not_waited_for_once_it_has_ended(
    runtime: Runtime, dictionary: Dictionary
) -> None:
    others, first = begin(runtime, dictionary)
    with many(runtime, dictionary):
        wait_for(lambda: has_helper(runtime))
    (helper,) = runtime.processes.helpers
    before = n_windows_of_helper(runtime)
    run(runtime, dictionary, "a lone one")
    assert n_windows_of_helper(runtime) == before

    def give_way(text: str) -> None:
        runtime.turn.leave_room()
        runtime.run_texts(dictionary, [text], 5, [], Patience(240), gives_way=True)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(give_way, TEXTS * AT_ONCE))
    assert n_windows_of_helper(runtime) == before

    newer = replace(dictionary, key=dictionary.key + 1)  # its model may be a larger one
    with many(runtime, newer):
        wait_for(lambda: len(helper.ready) == 2)

    gone = replace(dictionary, key=dictionary.key + 2, sae_source="/nowhere")
    with runtime.processes._changed:
        runtime.processes._ask_a_helper(gone)
    wait_for(lambda: helper.refused)
    assert len(helper.ready) == 2

    (pid,) = model_processes() - others - {first}
    assert int(Path(f"/proc/{pid}/oom_score_adj").read_text()) > int(Path(f"/proc/{first}/oom_score_adj").read_text())
    os.kill(pid, signal.SIGKILL)
    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(lambda text: run(runtime, dictionary, text), TEXTS * 5))
    wait_for(lambda: not runtime.processes.helpers)
    assert model_processes() - others == {first}


def test_closing_ends_a_helper_that_is_loading(runtime: Runtime, dictionary: Dictionary) -> None:
    others, first = begin(runtime, dictionary)
    with suppress(Busy), many(runtime, dictionary):
        wait_for(lambda: model_processes() - others - {first})
        runtime.close()
    assert model_processes() <= others


def test_one_process_may_be_all_there_are(dictionary: Dictionary) -> None:
    runtime = Runtime(Settings(max_waiting=AT_ONCE, model_processes=1))
    try:
        with many(runtime, dictionary) as answers:
            wait_for(lambda: len(answers) > 10 * AT_ONCE)
        assert not runtime.processes.helpers
    finally:
        runtime.close()


@pytest.mark.parametrize("reason", ["long steps", "no memory"])
def test_a_model_that_is_not_small_has_the_first_process_alone(
    dictionary: Dictionary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    others = model_processes()
    if reason == "long steps":  # the process reads the module, and then this
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        (tmp_path / "sitecustomize.py").write_text("import app.engine.activations as module\n\nmodule.LONG_STEP = 1\n")
    runtime = Runtime(Settings(max_waiting=AT_ONCE, **({"memory": 1000} if reason == "no memory" else {})))
    try:
        with many(runtime, dictionary):
            wait_for(lambda: any(helper.refused for helper in runtime.processes.helpers))
        assert len(model_processes() - others) == 1
    finally:
        runtime.close()
