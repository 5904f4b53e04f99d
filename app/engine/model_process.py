"""The server's side of a process that runs models.

A process, because torch and the server would otherwise take turns at Python's one lock: with the models in a thread,
32 clients at once got little more done than one, and pages waited. It is started by the first call, and anew by the
next one where it has ended; a server that only browses has none.
"""

import math
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.engine.line import LENGTH_BYTES, Call, End, Line
from app.engine.patience import Patience
from app.engine.processors import starting_everywhere
from app.errors import Busy
from app.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parent.parent.parent  # where `app` is found
STOP_SECONDS = 5
GOES_FIRST = "500"  # as if it held half of the memory beside what it does (proc(5), oom_score_adj)
ENDED = "The process that runs the models ended before it had answered, perhaps because memory ran out; try again."


class ModelProcess:
    """is_helper: where it has ended calls raise Busy, and no other is started; and where memory runs out, the system is
    to end it before any other process of the server.
    """

    def __init__(self, settings: Settings, is_helper: bool = False) -> None:
        self.settings = settings
        self.is_helper = is_helper
        self._may_start = True
        self._lock = threading.Lock()
        self._running: _Running | None = None
        self._closed = False

    @property
    def is_running(self) -> bool:
        """Whether a call has started it that nobody has seen end."""
        return self._running is not None

    def has_ended(self) -> bool:
        """Whether it was started and runs no more: it has ended by itself, or was closed."""
        running = self._running
        return running.has_ended() if running is not None else not self._may_start

    def call(self, patience: Patience, work: str, *given: object) -> Any:
        """What LiveWork's method returns. Raises what it raises, and Busy: also where its process ends meanwhile."""
        with self._line(patience) as line:
            line.send(Call(work, given, patience.left))
            end = _receive(line, patience)
        return _result(end)

    def stream(self, patience: Patience, work: str, *given: object) -> Generator[Any]:
        """The events of a method that yields them, as they come. Raises as `call`."""
        with self._line(patience) as line:
            line.send(Call(work, given, patience.left))
            while not isinstance(event := _receive(line, patience), End):
                yield event
        _result(event)

    def close(self) -> None:
        """Calls under way end as where the process does."""
        with self._lock:
            self._closed, running, self._running = True, self._running, None
        if running is not None:
            running.stop()

    @contextmanager
    def _line(self, patience: Patience) -> Iterator[Line]:
        """One that nobody else uses. It is kept for the next call, unless this one breaks off."""
        with self._lock:
            if self._closed:
                raise Busy("The server is stopping.")
            if self._running is not None and self._running.has_ended():
                self._running.stop()
                self._running = None
            if self._running is None:
                if not self._may_start:
                    raise Busy(ENDED)
                self._running = _Running(self.settings, goes_first=self.is_helper)
                self._may_start = not self.is_helper
            running = self._running
            line = running.lines.pop() if running.lines else running.new_line()
        try:
            with patience.with_line(line.hang_up):
                yield line
        except (EOFError, OSError) as error:
            line.close()
            patience.check()  # where the client has gone, it is this end that hung up
            self._forget(running)
            raise Busy(ENDED) from error
        except BaseException:
            line.close()
            raise
        if patience.is_gone:  # just as the call came to its end: the line may have been hung up
            line.close()
        else:
            running.lines.append(line)

    def _forget(self, ended: "_Running") -> None:
        """The next call has another process."""
        with self._lock:
            if self._running is ended:
                self._running = None
        ended.stop()


class _Running:
    """lines: those that no call uses now.

    A model may bring code of its own along (trust_remote_code), so the process is told nothing that is to stay secret:
    neither where the database is, nor what the environment says of this server.
    """

    def __init__(self, settings: Settings, goes_first: bool) -> None:
        self._control, its_end = socket.socketpair()
        environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        with its_end, starting_everywhere():
            self._process = subprocess.Popen(  # this Python, and a module of our own
                [sys.executable, "-m", "app.engine.model_worker"],
                stdin=its_end.fileno(),
                env=environment,
            )
        if goes_first:
            with suppress(OSError):  # another system
                Path(f"/proc/{self._process.pid}/oom_score_adj").write_text(GOES_FIRST)
        told = pickle.dumps(replace(settings, db="", openid_secret=""))
        self._control.sendall(len(told).to_bytes(LENGTH_BYTES) + told)
        self.lines: list[Line] = []
        self._stopping = threading.Lock()

    def new_line(self) -> Line:
        ours, its_end = socket.socketpair()
        with its_end, suppress(OSError):  # where the process has ended, whoever uses the line is told
            socket.send_fds(self._control, [b"+"], [its_end.fileno()])
        return Line(ours)

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def stop(self) -> None:
        """By every call that it broke off when it ended."""
        with self._stopping:
            self._control.close()
            while self.lines:
                self.lines.pop().close()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def _receive(line: Line, patience: Patience) -> Any:
    try:
        return line.receive(None if math.isinf(patience.left) else patience.left)
    except TimeoutError:
        raise patience.over() from None


def _result(end: End) -> Any:
    if end.error is not None:
        raise end.error
    return end.value
