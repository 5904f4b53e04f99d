"""The real command, as a person runs it."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

COMMAND = [sys.executable, "-m", "app"]
ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 90  # seconds until a server must answer


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FEATURESCOPE_")}
    return {**kept, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}


def run(arguments: Sequence[str], folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """more: variables of the environment."""
    environ = environment() | more
    return subprocess.run(
        [*COMMAND, *arguments], cwd=folder, env=environ, capture_output=True, text=True, timeout=240, check=False
    )


def start(arguments: Sequence[str], folder: Path, **more: str) -> subprocess.Popen[str]:
    """more: variables of the environment."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environment() | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(folder: Path, *arguments: str, **more: str) -> Iterator[str]:
    """The address of a server that answers, stopped in the end."""
    port = free_port()
    process = start([*arguments, "--port", str(port)], folder, **more)
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                with urllib.request.urlopen(f"{address}/healthz", timeout=5) as answer:
                    assert answer.status == 200
                break
            except (URLError, ConnectionError):
                assert process.poll() is None, process.communicate()[0]
                assert time.monotonic() < until, "the server does not answer"
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(20)
