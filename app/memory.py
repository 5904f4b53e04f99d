"""What a process of a server or of a build does with its memory."""

import ctypes
import gc
from contextlib import suppress

# Of glibc's malloc.h, and what they are set to.
ARENA_MAX, ARENAS = -8, 2
MMAP_THRESHOLD, LARGE = -3, 10_000_000  # bytes; what a batch holds within GPT-2 small's MLP is below
TRIM_THRESHOLD, ON_TOP = -1, 32_000_000  # bytes

_OTHER_LIBRARY = (AttributeError, OSError, TypeError)  # a C library that has no such thing


def keep_for_good() -> None:
    """What is loaded by now stays, and is not looked through again: a search for garbage among the server's own modules
    holds up every thread for 50 ms, one among torch's and transformers' too for 200.

    Called again, it first looks for what is no longer in use of what was kept before.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def keep_loaded() -> None:
    """The same where no search was made so far: what was loaded without one holds some 1,600 objects of garbage and no
    memory, and to find them would take the 50 ms once more."""
    gc.freeze()
    gc.enable()


def share_memory() -> None:
    """Between the threads: glibc gives each an arena of its own, up to 8 a processor, and keeps what one thread frees
    there from the others. Requests go from thread to thread, and so do a build's blocks, so that memory would grow for
    as long as they come."""
    _set(ARENA_MAX, ARENAS)


def keep_large_apart() -> None:
    """What is LARGE comes from the system by itself, and goes back when it is freed. glibc would raise that bound to
    whatever was freed so far, up to 32 MB; then activations of every size share one heap, of which less and less can be
    given back: not for a build, whose large blocks come and go all the time. To be mapped and zeroed anew took a tenth
    of a batch's time where a model's own blocks were LARGE."""
    _set(MMAP_THRESHOLD, LARGE)
    _set(TRIM_THRESHOLD, ON_TOP)


def give_back_memory() -> None:
    """To the system, what glibc keeps of what was freed: after a batch of long texts that is as much as it took."""
    with suppress(*_OTHER_LIBRARY):
        ctypes.CDLL(None).malloc_trim(0)


def _set(name: int, value: int) -> None:
    with suppress(*_OTHER_LIBRARY):
        ctypes.CDLL(None).mallopt(name, value)
