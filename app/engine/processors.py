"""Which of two processors a process keeps to, while the server and two processes for the models share them (on Linux).

Left to the system, each is moved to wherever there is room, again and again, and finds there what another one left in
the processor's caches.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

# Those that this process and what it starts may use: a container or taskset may leave it fewer than the machine has.
ALL = frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset[int]()


@dataclass
class _Kept:
    """By this process. to: None where it was told nothing; is_let: whether it uses all of them for now."""

    to: frozenset[int] | None = None
    is_let: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


_KEPT = _Kept()


def n_processors() -> int:
    return len(ALL) or os.cpu_count() or 1


def halves() -> tuple[frozenset[int], frozenset[int]] | None:
    """One each of two processors; None where there are more, which leave the system room, or fewer."""
    if len(ALL) != 2:
        return None
    return frozenset((min(ALL),)), frozenset((max(ALL),))


def keep_to(processors: frozenset[int]) -> None:
    """This process, with every thread, from now on. ALL: as if it had been told nothing."""
    with _KEPT.lock:
        was, _KEPT.to = _KEPT.to, None if processors == ALL else processors
        if not _KEPT.is_let and _KEPT.to != was:
            _move(processors)


@contextmanager
def everywhere() -> Iterator[None]:
    """Inside, this process uses all processors, whichever it keeps to. For one thread at a time."""
    with _KEPT.lock:
        if _KEPT.to is not None:
            _KEPT.is_let = True
            _move(ALL)
    try:
        yield
    finally:
        with _KEPT.lock:
            if _KEPT.is_let and _KEPT.to is not None:
                _move(_KEPT.to)
            _KEPT.is_let = False


@contextmanager
def starting_everywhere() -> Iterator[None]:
    """What this thread starts inside has all processors, whichever the process keeps to."""
    with _KEPT.lock:
        kept = _KEPT.to
    if kept is None:
        yield
        return
    os.sched_setaffinity(0, ALL)
    try:
        yield
    finally:
        os.sched_setaffinity(0, kept)


def _move(processors: frozenset[int]) -> None:
    """Every thread, and so whatever these start."""
    moved: set[str] = set()
    while there := {thread.name for thread in Path("/proc/self/task").glob("*")} - moved:
        for thread in there:
            with suppress(OSError):  # it has ended, or the system does not let it
                os.sched_setaffinity(int(thread), processors)
        moved |= there
