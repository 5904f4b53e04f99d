"""Which of two processors a process keeps to, while the server and two processes for the models share them.

Left to the system, each is moved to wherever there is room, again and again, and finds there what another one left in
the processor's caches.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Those that this process and what it starts may use: a container or taskset may leave it fewer than the machine has.
ALL = frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset[int]()


def n_processors() -> int:
    return len(ALL) or os.cpu_count() or 1


def halves() -> tuple[frozenset[int], frozenset[int]] | None:
    """One each of two processors; None where there are more, which leave the system room, or fewer."""
    if len(ALL) != 2:
        return None
    return frozenset((min(ALL),)), frozenset((max(ALL),))


def keep_to(processors: Iterable[int], pid: int | None = None) -> None:
    """Every thread of a process, by default of this one, and whatever these start."""
    for thread in Path(f"/proc/{pid or 'self'}/task").glob("*"):
        with suppress(OSError):  # it has ended, or the system does not let it
            os.sched_setaffinity(int(thread.name), processors)


@contextmanager
def everywhere() -> Iterator[None]:
    """Inside, this process uses all processors, whichever it keeps to otherwise."""
    kept = os.sched_getaffinity(0) if ALL else ALL
    if kept == ALL:
        yield
        return
    keep_to(ALL)
    try:
        yield
    finally:
        keep_to(kept)
