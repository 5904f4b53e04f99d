"""Answers that a batch has finished at once are made one after another, with room between them for who browses."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# Between two answers while somebody browses: so many times as long as the first took, on a slow machine as on a fast
# one. The least, in seconds, is enough for a page to be begun, the most for a page to be made.
ROOM, LEAST_GAP, MOST_GAP = 3, 0.012, 0.03
SOON = 0.5  # seconds, shared as gaps by the answers that wait: each of them holds a thread
BROWSES = 0.25  # seconds that somebody is taken to browse after having asked for something: a page and its parts


class Turn:
    """One per server. All at once, answers would keep it busy for a batch's time, and whoever opens a page then would
    wait that long. So each gives its turn to the next when the event loop has come round to it, and a little later.
    """

    def __init__(self) -> None:
        self._taken = threading.Lock()
        self._n_waiting = 0
        self._counting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._browsed = -BROWSES

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """loop: the one that serves."""
        self._loop = loop

    def leave_room(self) -> None:
        """Somebody browses."""
        self._browsed = time.monotonic()

    def is_browsed(self) -> bool:
        """Whether somebody has asked for a page just now."""
        return time.monotonic() < self._browsed + BROWSES

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Around the making of one answer, in a thread."""
        self._count(1)
        self._taken.acquire()
        self._count(-1)
        began = time.monotonic()
        try:
            yield
        finally:
            self._give_on(time.monotonic() - began)

    def _give_on(self, took: float) -> None:
        if self._loop is not None and self.is_browsed():
            with suppress(RuntimeError):  # the server has stopped
                self._loop.call_soon_threadsafe(
                    self._loop.call_later, gap_after(took, self._n_waiting), self._taken.release
                )
                return
        self._taken.release()

    def _count(self, one: int) -> None:
        with self._counting:
            self._n_waiting += one


def gap_after(took: float, n_waiting: int) -> float:
    """Seconds until the next answer is begun, after one that took so many."""
    return max(min(ROOM * took, MOST_GAP, SOON / max(n_waiting, 1)), LEAST_GAP)
