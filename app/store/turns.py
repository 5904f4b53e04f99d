"""Writers of one process take turns in the order in which they came.

SQLite lets a writer who finds another one there look again after up to a tenth of a second, and lets in whoever looks
first: among many, one may look for ten seconds without ever finding the door open. PostgreSQL keeps a queue, but
counts the time in it as time that another one held the lock.
"""

from collections import deque
from threading import Lock


class Turns:
    """A queue before a door that one goes through at a time; each may be taken in one thread and ended in another."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._is_taken = False
        self._waiting: deque[Lock] = deque()

    def take(self, seconds: float) -> bool:
        """Whether one's turn came within the time."""
        with self._lock:
            if not self._is_taken:
                self._is_taken = True
                return True
            called = Lock()
            called.acquire()
            self._waiting.append(called)
        if called.acquire(timeout=seconds):
            return True
        with self._lock:
            if called in self._waiting:
                self._waiting.remove(called)
                return False
        return True  # called between the end of the wait and now

    def end(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._is_taken = False


class Turn:
    """One writer's, taken when it first writes and ended when it has finished."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._has_it = False

    def take(self, seconds: float) -> bool:
        self._has_it = self._has_it or self._turns.take(seconds)
        return self._has_it

    def end(self) -> None:
        if self._has_it:
            self._has_it = False
            self._turns.end()
