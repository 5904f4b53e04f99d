"""Processors that a process keeps to."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.engine import processors

pytestmark = pytest.mark.skipif(len(processors.ALL) < 2, reason="this machine has one processor")
TWO = frozenset(sorted(processors.ALL)[:2])


@pytest.fixture(autouse=True)
def two_and_afterwards_all(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = processors.ALL
    monkeypatch.setattr(processors, "ALL", TWO)
    yield
    monkeypatch.undo()
    processors.keep_to(TWO)
    processors.keep_to(before)


def kept() -> set[frozenset[int]]:
    """Of every thread of this process."""
    return {frozenset(os.sched_getaffinity(int(task.name))) for task in Path("/proc/self/task").glob("*")}


def test_a_process_keeps_to_a_processor_with_all_its_threads_and_those_that_they_start() -> None:
    over, seen = threading.Event(), []
    waiting = threading.Thread(target=over.wait)
    waiting.start()
    (one,) = processors.halves()[:1]
    processors.keep_to(one)
    assert kept() == {one}
    started = threading.Thread(target=lambda: seen.append(frozenset(os.sched_getaffinity(0))))
    started.start()
    started.join()
    assert seen == [one]
    over.set()
    waiting.join()


def test_it_uses_all_for_as_long_as_it_is_let() -> None:
    _, other = processors.halves()
    processors.keep_to(other)
    with processors.everywhere():
        assert kept() == {TWO}
    assert kept() == {other}


def test_told_meanwhile_to_keep_to_none_it_does_not_go_back_to_one() -> None:
    one, _ = processors.halves()
    processors.keep_to(one)
    with processors.everywhere():
        processors.keep_to(TWO)
    assert kept() == {TWO}


def test_where_it_was_told_nothing_threads_stay_where_they_are() -> None:
    """libgomp may bind a thread to a processor (OMP_PROC_BIND), and somebody may with taskset."""
    before = os.sched_getaffinity(0)
    one, _ = processors.halves()
    os.sched_setaffinity(0, one)
    try:
        bound = kept()
        with processors.everywhere():
            assert os.sched_getaffinity(0) == one
        assert kept() == bound
    finally:
        os.sched_setaffinity(0, before)


def test_what_it_starts_has_all_of_them() -> None:
    one, _ = processors.halves()
    processors.keep_to(one)
    asks = [sys.executable, "-c", "import os; print(*sorted(os.sched_getaffinity(0)))"]
    with processors.starting_everywhere():
        ran = subprocess.run(asks, stdout=subprocess.PIPE, text=True, check=True)
    assert set(map(int, ran.stdout.split())) == TWO
    assert kept() == {one}


def test_more_than_two_are_left_to_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "ALL", frozenset(range(8)))
    assert processors.halves() is None
    assert processors.n_processors() == 8
