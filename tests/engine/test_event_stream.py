"""A stream of events ends in words, whoever reads it and however slowly."""

import asyncio
import time
from collections.abc import Generator, Sequence

import pytest

from app.engine.event_stream import AHEAD, EventStream
from app.engine.patience import Patience
from app.errors import Invalid
from app.live import Failed


def endless() -> Generator[str]:
    while True:
        yield "a token"


def failing(error: Exception) -> Generator[str]:
    yield "a token"
    raise error


def read(events: EventStream[str], pause: float = 0.0) -> Sequence[str | Failed]:
    """All of them, with a pause after the first."""

    async def whole() -> list[str | Failed]:
        found = []
        async for event in events:
            await asyncio.sleep(0 if found else pause)
            found.append(event)
        return found

    return asyncio.run(asyncio.wait_for(whole(), pause + 10))


def the_time_is_up(event: str | Failed) -> bool:
    return isinstance(event, Failed) and "max_seconds" in event.message and not event.is_invalid


def test_a_stream_whose_time_is_up_ends_with_the_limit() -> None:
    *tokens, last = read(EventStream(Patience(0.5), endless))
    assert set(tokens) == {"a token"}
    assert the_time_is_up(last)


def test_a_reader_who_comes_back_after_the_time_is_up_is_told_so_too() -> None:
    """All that could wait for them waits; by then the thread that makes the events has ended long since."""
    *tokens, last = read(EventStream(Patience(0.5), endless), pause=0.8)
    assert AHEAD <= len(tokens) <= AHEAD + 2
    assert the_time_is_up(last)


@pytest.mark.parametrize(
    ("error", "said", "is_invalid"),
    [(Invalid("choose a smaller one"), "choose a smaller one", True), (RuntimeError("/home/ada"), "its log", False)],
)
def test_a_stream_that_breaks_ends_with_why_and_nothing_of_the_servers_own(
    error: Exception, said: str, is_invalid: bool
) -> None:
    token, last = read(EventStream(Patience(60), lambda: failing(error)))
    assert token == "a token"
    assert isinstance(last, Failed)
    assert said in last.message
    assert "/home" not in last.message
    assert last.is_invalid == is_invalid


def test_a_thread_reads_the_same_as_the_event_loop() -> None:
    assert list(EventStream(Patience(60), lambda: failing(Invalid("no")))) == ["a token", Failed("no", True)]


def test_work_stops_when_the_reader_goes() -> None:
    stopped: list[float] = []

    def work() -> Generator[str]:
        try:
            yield from endless()
        finally:
            stopped.append(time.monotonic())

    events = iter(EventStream(Patience(60), work))
    next(events)
    events.close()
    until = time.monotonic() + 10
    while not stopped and time.monotonic() < until:
        time.sleep(0.01)
    assert stopped
