"""Who writes comes in the order in which they asked."""

import threading
import time

from app.store.turns import Turn, Turns


def test_turns_come_in_the_order_in_which_they_were_asked_for() -> None:
    turns, came = Turns(), []

    def write(number: int) -> None:
        turn = Turn(turns)
        assert turn.take(10)
        came.append(number)
        turn.end()

    first = Turn(turns)
    assert first.take(0.1)
    threads = []
    for number in range(8):
        threads.append(threading.Thread(target=write, args=(number,)))
        threads[-1].start()
        time.sleep(0.02)
    assert came == []
    first.end()
    for thread in threads:
        thread.join()
    assert came == list(range(8))


def test_who_gave_up_waiting_is_passed_over() -> None:
    turns = Turns()
    first, second, third = Turn(turns), Turn(turns), Turn(turns)
    assert first.take(0.1)
    assert first.take(0.1), "it has it already"
    assert not second.take(0.05)
    second.end()
    first.end()
    assert third.take(0.1)
    third.end()
    assert second.take(0.1)
