"""How long a live request is worked on: until its time is up, or its client has gone."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.errors import Busy


class Gone(Busy):
    """The client has left, so nobody reads the answer."""


class Patience:
    """Of one request. `leave` may be called from any thread; work asks `check` between its steps."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._until = time.monotonic() + seconds
        self._gone = threading.Event()
        self._line = threading.Lock()
        self._hang_up: Callable[[], object] | None = None

    def leave(self) -> None:
        with self._line:
            self._gone.set()
            if self._hang_up is not None:
                self._hang_up()

    @contextmanager
    def with_line(self, hang_up: Callable[[], object]) -> Iterator[None]:
        """Inside, `hang_up` is called when the client goes. Raises Gone where it has."""
        with self._line:
            self.check()
            self._hang_up = hang_up
        try:
            yield
        finally:
            with self._line:
                self._hang_up = None

    @property
    def is_gone(self) -> bool:
        """Whether the client is."""
        return self._gone.is_set()

    @property
    def left(self) -> float:
        """Seconds until the time is up, never below 0."""
        return max(0.0, self._until - time.monotonic())

    def check(self) -> None:
        """Raises Gone, or Busy when the time is up."""
        if self._gone.is_set():
            raise Gone("The client has gone, so its request was stopped.")
        if self.left == 0:
            raise self.over()

    def over(self) -> Busy:
        return Busy(
            f"This took longer than the {self.seconds:g} s that a request may take here (the setting max_seconds); "
            "send a shorter text, ask for fewer tokens, or try again when the server is less busy."
        )
