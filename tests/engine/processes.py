"""The processes that run models for the one of the tests."""

import os
from contextlib import suppress
from pathlib import Path


def model_processes() -> set[int]:
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == os.getpid() and b"app.engine.model_worker" in (folder / "cmdline").read_bytes():
                found.add(int(folder.name))
    return found
