"""The turn of answers: one at a time, and room between them only while somebody browses."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from app.engine.turn import LEAST_GAP, MOST_GAP, ROOM, SOON, Turn, gap_after

ANSWERS = 10


def seconds_for_answers(browses: bool, n: int = ANSWERS, each: float = 0) -> float:
    """In threads, beside a loop that runs: in a thread too, since browser tests leave one running in the main one."""
    turn = Turn()
    making, at_once = 0, 0

    def answer() -> None:
        nonlocal making, at_once
        with turn.taken():
            making += 1
            at_once = max(at_once, making)
            time.sleep(each)
            making -= 1

    async def ask() -> float:
        turn.open(asyncio.get_running_loop())
        if browses:
            turn.leave_room()
        began = time.monotonic()
        await asyncio.gather(*(asyncio.to_thread(answer) for _ in range(n)))
        return time.monotonic() - began

    with ThreadPoolExecutor(1) as pool:
        seconds = pool.submit(lambda: asyncio.run(ask())).result()
    assert at_once == 1
    return seconds


def test_answers_leave_room_while_somebody_browses() -> None:
    assert seconds_for_answers(browses=True) >= (ANSWERS - 1) * LEAST_GAP


def test_answers_that_take_longer_leave_more_room_up_to_what_a_page_needs() -> None:
    assert gap_after(0, 1) == LEAST_GAP
    assert gap_after(LEAST_GAP / 2, 1) == ROOM * LEAST_GAP / 2
    assert gap_after(MOST_GAP, 1) == MOST_GAP
    each = 0.005
    assert seconds_for_answers(browses=True, n=4, each=each) >= 3 * (each + gap_after(each, 1))


def test_the_more_answers_wait_the_less_room_is_left() -> None:
    assert gap_after(MOST_GAP, 25) == SOON / 25
    assert gap_after(MOST_GAP, 1000) == LEAST_GAP


def test_without_a_loop_or_after_it_the_turn_goes_on() -> None:
    turn = Turn()
    for _ in range(2):
        with turn.taken():
            pass
    loop = asyncio.new_event_loop()
    turn.open(loop)
    turn.leave_room()
    loop.close()
    done = threading.Event()

    def answer() -> None:
        for _ in range(2):
            with turn.taken():
                pass
        done.set()

    threading.Thread(target=answer, daemon=True).start()
    assert done.wait(5)
