"""What a process does with memory that it no longer needs."""

import platform
import subprocess
import sys

import pytest

KEEPS_AND_GIVES = """
from pathlib import Path
from app.memory import give_back_memory

def resident_mb():
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024

blocks = [bytearray(b"x" * 100_000) for _ in range(1000)]
full = resident_mb()
blocks = blocks[-1:]  # what lies above all that was freed
kept = resident_mb()
give_back_memory()
print(full - kept, kept - resident_mb())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps what is freed in its own way")
def test_what_was_freed_is_given_back_to_the_system() -> None:
    ran = subprocess.run([sys.executable, "-c", KEEPS_AND_GIVES], capture_output=True, text=True, check=True)
    by_itself, given = (float(number) for number in ran.stdout.split())
    assert by_itself < 20
    assert given > 80
