"""Work that goes on behind the arithmetic."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec

P = ParamSpec("P")


class Behind:
    """Does things one after another in a thread of its own; what goes wrong in one is raised by the next or the end."""

    _WAITING = 8  # things that may wait

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._waiting: deque[Future[None]] = deque()

    def __enter__(self) -> "Behind":
        return self

    def do(self, what: Callable[P, None], *to: P.args, **named: P.kwargs) -> None:
        while len(self._waiting) >= self._WAITING or (self._waiting and self._waiting[0].done()):
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(what, *to, **named))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)
        if kind is None:
            for future in self._waiting:
                future.result()
