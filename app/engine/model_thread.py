"""The one thread that runs torch: steps of waiting requests in turn, and those that fit together as one batch.

One thread, because torch keeps a pool of its own for every thread that calls it, and because a hook set for one request
must never be there during another's. A request's work is cut into short steps (a batch of windows, one token of a
steered text), so that a long one holds up the others for one step only.
"""

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from app.engine.patience import Patience
from app.errors import Busy

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass
class _Step:
    """Steps of one key run as one, up to `most` in size together."""

    patience: Patience
    key: Hashable | None
    item: Any
    size: int
    most: int
    work: Callable[[Sequence[Any]], Sequence[Any]]
    result: Future[Any] = field(default_factory=Future)


class ModelThread:
    """One per process. `run` and `run_together` wait for their step."""

    def __init__(self) -> None:
        self._steps: deque[_Step] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def n_waiting(self) -> int:
        """Steps that wait for their turn."""
        return len(self._steps)

    def run(self, patience: Patience, work: Callable[[], Result]) -> Result:
        """One step of its own. Raises what it raises, and Busy when patience ends first."""
        return self._wait(_Step(patience, None, None, 1, 1, lambda _: [work()]))  # type: ignore[no-any-return]  # what work gives

    def run_together(
        self,
        patience: Patience,
        key: Hashable,
        item: Item,
        size: int,
        most: int,
        work: Callable[[Sequence[Item]], Sequence[Result]],
    ) -> Result:
        """`work` on this item and on those of other requests with the same key that wait now, `most` in size."""
        return self._wait(_Step(patience, key, item, size, most, work))  # type: ignore[no-any-return]  # what work gives

    def close(self) -> None:
        """Lets the running step end; waiting ones are refused."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _wait(self, step: _Step) -> Any:
        with self._changed:
            if self._closed:
                raise Busy("The server is stopping.")
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="model", daemon=True)
                self._thread.start()
            self._steps.append(step)
            self._changed.notify()
        return step.result.result()

    def _serve(self) -> None:
        while (steps := self._next()) is not None:
            _run([step for step in steps if _is_wanted(step)])

    def _next(self) -> list[_Step] | None:
        """The step that waits longest with those that go with it; None when the server stops."""
        with self._changed:
            while not self._steps and not self._closed:
                self._changed.wait()
            if self._closed:
                for step in self._steps:
                    step.result.set_exception(Busy("The server is stopping."))
                return None
            first = self._steps.popleft()
            if first.key is None:
                return [first]
            taken, size, left = [first], first.size, deque[_Step]()
            for step in self._steps:
                if step.key == first.key and size + step.size <= first.most:
                    taken.append(step)
                    size += step.size
                else:
                    left.append(step)
            self._steps = left
            return taken


def _is_wanted(step: _Step) -> bool:
    try:
        step.patience.check()
    except Busy as over:
        step.result.set_exception(over)
        return False
    return True


def _run(steps: Sequence[_Step]) -> None:
    """Where steps fail together each is tried alone, so that one request's fault is not another's."""
    if not steps:
        return
    try:
        results = steps[0].work([step.item for step in steps])
    except BaseException as error:
        if len(steps) == 1:
            steps[0].result.set_exception(error)
            return
        for step in steps:
            _run([step])
        return
    for step, result in zip(steps, results, strict=True):
        step.result.set_result(result)
