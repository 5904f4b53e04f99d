"""Events from a plain thread to the event loop, through a bounded queue: the loop never waits for the thread's work,
and the thread never runs far ahead of a slow reader."""

import asyncio
import logging
import queue
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import closing, suppress
from typing import Generic, TypeVar

from app.engine.patience import Patience
from app.errors import Busy, FeaturescopeError, Invalid
from app.live import Failed

Event = TypeVar("Event")
AHEAD = 64  # events that wait for the reader
A_LOOK = 0.5  # seconds between looks at whether a reader that takes nothing is still there


class EventStream(Generic[Event]):
    """Read with `async for`: it ends with the work, or with a Failed. A reader that leaves stops the work."""

    def __init__(self, patience: Patience, work: Callable[[], Generator[Event]]) -> None:
        self._patience = patience
        self._work = work
        self._events: queue.Queue[Event | Failed | None] = queue.Queue(AHEAD)
        self._wake: Callable[[], object] = lambda: None
        threading.Thread(target=self._make, name="stream", daemon=True).start()

    async def __aiter__(self) -> AsyncIterator[Event | Failed]:
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        self._wake = lambda: loop.call_soon_threadsafe(ready.set)
        try:
            while True:
                ready.clear()
                with suppress(queue.Empty):
                    while True:
                        event = self._events.get_nowait()
                        if event is None:
                            return
                        yield event
                        await asyncio.sleep(0)  # in a burst too the loop hears that the reader has gone
                await ready.wait()
        finally:
            self._patience.leave()

    def __iter__(self) -> Iterator[Event | Failed]:
        """The same for a reader in a thread of its own."""
        try:
            while (event := self._events.get()) is not None:
                yield event
        finally:
            self._patience.leave()

    def _make(self) -> None:
        with suppress(Busy):  # nobody is there to be told
            try:
                with closing(self._work()) as events:
                    for event in events:
                        self._send(event)
            except FeaturescopeError as error:
                self._send(Failed(str(error), isinstance(error, Invalid)), to_the_last=True)
            except Exception:
                logging.getLogger("featurescope").exception("A stream ended in an error that was not expected.")
                self._send(Failed("The server met an error that it did not expect; its log says more.", False))
            finally:
                self._send(None, to_the_last=True)

    def _send(self, event: Event | Failed | None, to_the_last: bool = False) -> None:
        """to_the_last: also when the time is up, so that the reader hears of it."""
        while True:
            if not (to_the_last and self._patience.left == 0):
                self._patience.check()
            try:
                self._events.put(event, timeout=A_LOOK)
            except queue.Full:
                if to_the_last and self._patience.left == 0:
                    return
                continue
            with suppress(RuntimeError):  # the reader's loop has been closed
                self._wake()
            return
