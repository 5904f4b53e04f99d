"""The processes that run a server's models: one, and helpers beside it while many ask at once for a small model's
activations.

A process runs Python on one processor, however many there are, and between the short steps of a small model there is
much of it. Of a large model's steps each takes every processor, so that a helper would only want them too.
"""

import logging
import math
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeAlias

from app.domain import Dictionary
from app.engine.model_process import ModelProcess
from app.engine.patience import Patience
from app.engine.processors import ALL, halves, keep_to, n_processors
from app.errors import Busy, FeaturescopeError
from app.live import ModelUse
from app.settings import Settings

logger = logging.getLogger("featurescope")
SHARED = "activations"  # the work that helpers share; the first process does all other
MANY = 8  # such calls under way at the process with the fewest, above which a helper is worth its memory
IDLE = 300.0  # seconds from when so many last asked until a helper ends, and from when one failed until the next
LESS_MEMORY = 8  # a helper may hold so much less of weights than the first process
A_LOOK = 2.0  # seconds that a question after what is loaded may take
Build: TypeAlias = tuple[int, datetime]


@dataclass(eq=False)
class _Place:
    """A process with its calls for activations under way."""

    process: ModelProcess
    n_inside: int = 0


@dataclass(eq=False)
class Helper(_Place):
    """ready: the builds whose models it has loaded; refused: those that it is not for; waiting: asked of it, and the
    first of them being loaded. wanted: when many last asked at once. use: what it held and had run, as last known.
    ends: nothing more is asked of it.
    """

    ready: set[Build] = field(default_factory=set)
    refused: set[Build] = field(default_factory=set)
    waiting: list[Dictionary] = field(default_factory=list)
    wanted: float = field(default_factory=time.monotonic)
    use: ModelUse = field(default_factory=ModelUse)
    ends: bool = False

    def is_idle(self) -> bool:
        return self.n_inside == 0 and not self.waiting and time.monotonic() >= self.wanted + IDLE


class ModelProcesses:
    """One per server."""

    def __init__(self, settings: Settings) -> None:
        n = max(1, min(settings.model_processes, n_processors()))
        self._most_helpers = n - 1
        self._helper_settings = replace(
            settings,
            memory=settings.memory // LESS_MEMORY,
            threads=settings.threads or max(1, (n_processors() - 1) // n),
        )
        self.first = _Place(ModelProcess(settings))
        self.helpers: list[Helper] = []
        self._changed = threading.Condition()
        self._closed = False
        self._none_before = 0.0
        self._past = ModelUse()

    def call(self, patience: Patience, work: str, *given: object, helped: bool = True) -> Any:
        """What LiveWork's method returns. Raises what it raises, and Busy: also where its process ends meanwhile.

        helped: whether a helper may do it.
        """
        if work == SHARED:
            assert isinstance(given[0], Dictionary)
            with self._inside(given[0], helped) as place:
                try:
                    return place.process.call(patience, work, *given)
                except Busy:
                    if place is self.first or not place.process.has_ended():
                        raise
            # It changes nothing, so what a helper was about when it ended can be done again.
        return self.first.process.call(patience, work, *given)

    def stream(self, patience: Patience, work: str, *given: object) -> Generator[Any]:
        """The events of a method that yields them, as they come. Raises as `call`."""
        yield from self.first.process.stream(patience, work, *given)

    def use(self) -> ModelUse:
        """Of all of them, nothing where no call has come yet. Raises Busy."""
        with self._changed:
            helpers, found = [*self.helpers], self._past
        if self.first.process.is_running:
            found = _sum(found, self.first.process.call(Patience(A_LOOK), "use"))
        for helper in helpers:
            _look(helper)
            found = _sum(found, helper.use)
        return found

    def close(self) -> None:
        """Calls under way end as where their process does."""
        with self._changed:
            self._closed = True
            places = [self.first, *self.helpers]
            self._changed.notify_all()
        keep_to(ALL)
        for place in places:
            place.process.close()

    @contextmanager
    def _inside(self, dictionary: Dictionary, helped: bool) -> Iterator[_Place]:
        """Of the processes that have the dictionary's models the one with the fewest calls; of equals the first."""
        with self._changed:
            ready = [helper for helper in self.helpers if helped and _build(dictionary) in helper.ready]
            place = min([self.first, *ready], key=lambda place: place.n_inside)
            if helped and place.n_inside >= MANY:
                self._ask_a_helper(dictionary)
            place.n_inside += 1
            if self.first.n_inside + sum(helper.n_inside for helper in self.helpers) > MANY:
                for helper in self.helpers:
                    helper.wanted = time.monotonic()
        try:
            yield place
        finally:
            with self._changed:
                place.n_inside -= 1
                if isinstance(place, Helper) and (place.n_inside == 0 or place.process.has_ended()):
                    self._changed.notify_all()

    def _ask_a_helper(self, dictionary: Dictionary) -> None:
        """To load the dictionary's models, one helper after another, until there is none that was not asked to."""
        build = _build(dictionary)
        if any(build in {*helper.refused, *map(_build, helper.waiting)} for helper in self.helpers):
            return
        helper = next((helper for helper in self.helpers if build not in helper.ready and not helper.ends), None)
        if helper is None:
            if self._closed or len(self.helpers) >= self._most_helpers or time.monotonic() < self._none_before:
                return
            helper = Helper(ModelProcess(self._helper_settings, is_helper=True))
            try:
                threading.Thread(target=self._keep, args=(helper,), daemon=True).start()
            except RuntimeError:  # as many threads as the system lets it have
                self._none_before = time.monotonic() + IDLE
                return
            self.helpers.append(helper)
        helper.waiting.append(dictionary)
        self._changed.notify_all()

    def _keep(self, helper: Helper) -> None:
        """Has it load what it is asked to, and ends it when it has ended, has failed, or is not wanted any more."""
        try:
            while (dictionary := self._next_load(helper)) is not None:
                is_ready = self._load(helper, dictionary)
                with self._changed:
                    helper.waiting.pop(0)
                    (helper.ready if is_ready else helper.refused).add(_build(dictionary))
                    helper.wanted = time.monotonic()
                if is_ready:
                    self._keep_apart(helper)
        except Exception:  # whatever it was: the first process goes on with all the work
            if not self._closed:
                logger.warning("A second process for the models could not be had.", exc_info=True)
        finally:
            self._end(helper)

    def _load(self, helper: Helper, dictionary: Dictionary) -> bool:
        """Whether it has loaded its models now: they are small, and fit beside what it holds, so that none is dropped
        for another. Raises what ended it."""
        try:
            n_bytes = self.first.process.call(Patience(self._helper_settings.max_seconds), "small_bytes", dictionary)
            _look(helper)
            if n_bytes is None or helper.use.n_bytes + n_bytes > self._helper_settings.memory:
                return False
            reason = helper.process.call(Patience(math.inf), "load", dictionary)
        except (FeaturescopeError, RuntimeError) as error:
            if self._closed or helper.process.has_ended():
                raise
            reason = error
        if reason is not None:
            logger.warning("%s: a second process for the models could not load them: %s", dictionary.id, reason)
        return reason is None

    def _keep_apart(self, helper: Helper) -> None:
        """Of two processors one for the first process, which has it for itself then; the other for the rest."""
        apart = halves()
        # With more than one thread of torch's each, two would want one processor.
        if apart is None or self._helper_settings.threads > 1 or not self.first.process.is_running:
            return
        of_others, of_first = apart
        with suppress(Busy, OSError, RuntimeError):  # it is only quicker so
            self.first.process.call(Patience(A_LOOK), "keep_to", of_first)
            helper.process.call(Patience(A_LOOK), "keep_to", of_others)
            with self._changed:
                if not self._closed:
                    keep_to(of_others)

    def _keep_together(self) -> None:
        """As before the helper was there."""
        if halves() is None:
            return
        keep_to(ALL)
        with suppress(Busy, OSError, RuntimeError):
            if self.first.process.is_running:
                self.first.process.call(Patience(A_LOOK), "keep_to", ALL)

    def _next_load(self, helper: Helper) -> Dictionary | None:
        """None when the process has ended or is to end; from then on no call goes there."""
        with self._changed:
            while not (self._closed or helper.is_idle() or helper.process.has_ended()):
                if helper.waiting:
                    return helper.waiting[0]
                self._changed.wait(max(0.0, helper.wanted + IDLE - time.monotonic()) if helper.n_inside == 0 else IDLE)
            helper.ends = True
            helper.ready.clear()
            return None

    def _end(self, helper: Helper) -> None:
        with self._changed:
            if helper.waiting or helper.process.has_ended():  # it has failed
                self._none_before = time.monotonic() + IDLE
            helper.ends = True
            helper.ready.clear()
            helper.waiting.clear()
            self._changed.wait_for(lambda: helper.n_inside == 0 or self._closed)
        self._keep_together()
        _look(helper)
        try:
            helper.process.close()
        finally:
            with self._changed:
                self.helpers.remove(helper)
                self._past = _sum(self._past, replace(helper.use, n_bytes=0))


def _look(helper: Helper) -> None:
    """At what it holds and has run, as far as it can tell."""
    with suppress(Busy, OSError, RuntimeError):
        if helper.process.is_running:
            helper.use = helper.process.call(Patience(A_LOOK), "use")


def _build(dictionary: Dictionary) -> Build:
    return dictionary.key, dictionary.created_at


def _sum(one: ModelUse, other: ModelUse) -> ModelUse:
    return ModelUse(one.n_bytes + other.n_bytes, one.n_windows + other.n_windows, one.n_batches + other.n_batches)
