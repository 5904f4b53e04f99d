"""Commands without the seconds of their imports: forked off a process that has done those once.

Each is otherwise what `python -m app` is: a process of its own, with its folder and variables, to be told and killed.
`python -m tests.forked` is that process. Its standard input is a socket, on which each command is asked for.
"""

import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.server import ROOT, environment

REQUEST, NUMBER = 65536, 8  # bytes


class Forked:
    """One under way, much as subprocess.Popen has it. stdout: both streams of its output.

    largest_file: bytes that no file of its may exceed, as where a disk is full.
    """

    def __init__(
        self, arguments: Sequence[str], folder: Path, largest_file: int | None = None, **variables: str
    ) -> None:
        said, output = os.pipe()
        self._told, telling = os.pipe()
        given = [[*arguments], str(folder), environment() | variables, largest_file]
        socket.send_fds(ready(), [json.dumps(given).encode()], [output, telling])
        os.close(output)
        os.close(telling)
        self.stdout = os.fdopen(said, encoding="utf-8")
        self.returncode: int | None = None
        self.pid = self._number()

    def wait(self, seconds: float = 240) -> int:
        """Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._told], [], [], seconds)[0]:
                raise subprocess.TimeoutExpired("featurescope", seconds)
            self.returncode = self._number()
            os.close(self._told)
        return self.returncode

    def poll(self) -> int | None:
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def rest(self) -> str:
        """What it prints until its end, which this waits for."""
        said = self.stdout.read()
        self.wait()
        self.stdout.close()
        return said

    def send_signal(self, which: signal.Signals) -> None:
        os.kill(self.pid, which)

    def _number(self) -> int:
        said = os.read(self._told, NUMBER)
        assert len(said) == NUMBER, "the process that forks commands has ended"
        return int.from_bytes(said, signed=True)


def run_forked(arguments: Sequence[str], folder: Path, **variables: str) -> tuple[int, str]:
    """The exit status, and what was printed."""
    command = Forked(arguments, folder, **variables)
    said = command.rest()
    return command.wait(), said


@cache
def ready() -> socket.socket:
    """Where commands are asked for, once the imports are done."""
    ours, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its_end:
        subprocess.Popen([sys.executable, "-m", "tests.forked"], cwd=ROOT, env=environment(), stdin=its_end.fileno())
    assert ours.recv(REQUEST), "the process with the imports has ended"
    return ours


def serve() -> None:
    """Until nobody can ask any more."""
    import transformers

    import app.index.build  # noqa: F401  # and what it imports

    # Each is imported when it is first named.
    _ = transformers.AutoTokenizer, transformers.LlamaForCausalLM, transformers.GPT2LMHeadModel
    asking = socket.socket(fileno=0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    asking.send(b"ready")
    while True:
        request, ends, _flags, _from = socket.recv_fds(asking, REQUEST, 2)
        if not request:
            return
        if os.fork() == 0:
            asking.close()
            os._exit(_keep(*json.loads(request), *ends))
        for end in ends:
            os.close(end)


def _keep(
    arguments: list[str],
    folder: str,
    variables: dict[str, str],
    largest_file: int | None,
    output: int,
    telling: int,
) -> int:
    """Begins the command, and tells its number and in the end its status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    number = os.fork()
    if number == 0:
        os.close(telling)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for stream in (1, 2):
            os.dup2(output, stream)
        os.close(output)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(variables)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        from app.__main__ import main

        sys.exit(main(arguments))
    os.close(output)
    os.write(telling, number.to_bytes(NUMBER))
    _, status = os.waitpid(number, 0)
    os.write(telling, os.waitstatus_to_exitcode(status).to_bytes(NUMBER, signed=True))
    return 0


if __name__ == "__main__":
    serve()
