"""Events from a plain thread to the event loop, through a bounded queue: the loop never waits for the thread's work,
and the thread never runs far ahead of a slow reader."""

import asyncio
import logging
import queue
import threading
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import closing, suppress
from typing import Generic, TypeVar

from app.engine.patience import Patience
from app.errors import FeaturescopeError, Invalid
from app.live import Failed

Event = TypeVar("Event")
AHEAD = 64  # events that wait for the reader
A_LOOK = 0.5  # seconds between looks at whether a reader that takes nothing is still there


class EventStream(Generic[Event]):
    """Read with `async for`: it ends with the work, or with a Failed. A reader that leaves stops the work."""

    def __init__(self, patience: Patience, work: Callable[[], Generator[Event]]) -> None:
        self._patience = patience
        self._work = work
        self._events: queue.SimpleQueue[Event | Failed | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(AHEAD)  # the end needs none: a reader who comes late is told it too
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
                        self._room.release()
                        yield event
                        await asyncio.sleep(0)  # in a burst too the loop hears that the reader has gone
                await ready.wait()
        finally:
            self._patience.leave()

    def __iter__(self) -> Generator[Event | Failed]:
        """The same for a reader in a thread of its own."""
        try:
            while (event := self._events.get()) is not None:
                self._room.release()
                yield event
        finally:
            self._patience.leave()

    def _make(self) -> None:
        try:
            with closing(self._work()) as events:
                for event in events:
                    self._wait_for_room()
                    self._put(event)
        except FeaturescopeError as error:
            self._put(Failed(str(error), isinstance(error, Invalid)))
        except Exception:
            logging.getLogger("featurescope").exception("A stream ended in an error that was not expected.")
            self._put(Failed("The server met an error that it did not expect; its log says more.", False))
        finally:
            self._put(None)

    def _wait_for_room(self) -> None:
        """Raises Busy where the time is up, or the reader gone."""
        while True:
            self._patience.check()
            if self._room.acquire(timeout=min(A_LOOK, self._patience.left)):
                return

    def _put(self, event: Event | Failed | None) -> None:
        self._events.put(event)
        with suppress(RuntimeError):  # the reader's loop has been closed
            self._wake()
