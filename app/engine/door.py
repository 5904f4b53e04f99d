"""How many requests may be at the model at once: one too many is refused, and waits for nothing."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import Busy


class Door:
    """One per server. most: the setting max_waiting."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.n_inside = 0  # requests that wait for the model or are worked on
        self._lock = threading.Lock()

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Around all of one request's work. Raises Busy at once when too many are there."""
        self.enter()
        try:
            yield
        finally:
            self.leave()

    def enter(self) -> None:
        with self._lock:
            self.check_room()
            self.n_inside += 1

    def leave(self) -> None:
        with self._lock:
            self.n_inside -= 1

    def check_room(self) -> None:
        """Raises Busy where `enter` would now; takes no place, and waits for nothing."""
        if self.n_inside >= self.most:
            raise Busy(
                f"{self.most} requests are at the model already (the setting max_waiting); try again in a few seconds."
            )
