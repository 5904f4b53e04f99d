"""What a process of a server or of a build does with its memory."""

import ctypes
import gc
from contextlib import suppress

ARENA_MAX, ARENAS = -8, 2  # M_ARENA_MAX of glibc's malloc.h, and how many


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
    with suppress(AttributeError, OSError, TypeError):  # another C library, which has no such thing
        ctypes.CDLL(None).mallopt(ARENA_MAX, ARENAS)
