"""The model's thread: one step at a time, waiting ones together, and nobody hurt by another's fault."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.engine.model_thread import ModelThread
from app.engine.patience import Gone, Patience
from app.errors import Busy, Invalid


@pytest.fixture
def thread() -> Iterator[ModelThread]:
    made = ModelThread()
    yield made
    made.close()


def held(thread: ModelThread) -> tuple[threading.Event, threading.Thread]:
    """A step that runs until the event is set."""
    begun, go_on = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait(10)

    waiting = threading.Thread(target=lambda: thread.run(Patience(10), work))
    waiting.start()
    assert begun.wait(5)
    return go_on, waiting


def wait_for_steps(thread: ModelThread, n: int) -> None:
    for _ in range(500):
        if thread.n_waiting == n:
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"{thread.n_waiting} steps wait, not {n}")


def test_steps_that_wait_run_together_up_to_the_size_allowed(thread: ModelThread) -> None:
    go_on, waiting = held(thread)
    batches: list[list[int]] = []

    def work(items: Sequence[int]) -> list[int]:
        batches.append(sorted(items))
        return [item * 2 for item in items]

    with ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(thread.run_together, Patience(10), "a key", n, 1, 4, work) for n in range(5)]
        wait_for_steps(thread, 5)
        go_on.set()
        assert [found.result(5) for found in asked] == [0, 2, 4, 6, 8]
    waiting.join()
    assert sorted(len(batch) for batch in batches) == [1, 4]


def test_one_fault_does_not_reach_those_that_ran_with_it(thread: ModelThread) -> None:
    go_on, waiting = held(thread)

    def work(items: Sequence[int]) -> list[int]:
        if 1 in items:
            raise Invalid("one is no good")
        return list(items)

    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(thread.run_together, Patience(10), "a key", n, 1, 9, work) for n in range(3)]
        wait_for_steps(thread, 3)
        go_on.set()
        assert asked[0].result(5) == 0
        assert asked[2].result(5) == 2
        with pytest.raises(Invalid):
            asked[1].result(5)
    waiting.join()


def test_a_client_that_left_has_no_step_run(thread: ModelThread) -> None:
    go_on, waiting = held(thread)
    patience, ran = Patience(10), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(thread.run, patience, ran.set)
        wait_for_steps(thread, 1)
        patience.leave()
        go_on.set()
        with pytest.raises(Gone):
            asked.result(5)
    waiting.join()
    assert not ran.is_set()


def test_time_that_is_up_ends_a_wait(thread: ModelThread) -> None:
    with pytest.raises(Busy, match="max_seconds"):
        thread.run(Patience(0), lambda: None)
