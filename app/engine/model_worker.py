"""The process that runs the models: python -m app.engine.model_worker, started by model_process.py.

Its standard input is a socket of the server's. The first thing to come there are the settings, then one end of a line
for each call that is made at once with others; when the server ends, however it does, the socket closes and this with
it.
"""

import os
import pickle
import signal
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress

from app.engine.line import LENGTH_BYTES, Call, End, Line
from app.engine.live_work import LiveWork
from app.engine.patience import Patience
from app.errors import FeaturescopeError
from app.memory import give_back_memory, keep_large_apart, share_memory

# Above the server's own in niceness, so that pages are made first while both want the processor.
NICENESS = 10
GIVES_BACK = 1.0  # seconds after a call's end until memory is given back: for all that ended meanwhile


class CallPatience(Patience):
    """Over when the time is up, and when the server has hung up: its client has gone, or it has itself."""

    def __init__(self, seconds: float, line: Line) -> None:
        super().__init__(seconds)
        self._other_end = line

    def check(self) -> None:
        if self._other_end.has_hung_up():
            self.leave()
        super().check()


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the server too, which lets calls come to an end
    with suppress(AttributeError, OSError):  # another system, or one that forbids it
        os.nice(NICENESS)
    share_memory()
    keep_large_apart()
    server = socket.socket(fileno=0)
    n_bytes = int.from_bytes(server.recv(LENGTH_BYTES, socket.MSG_WAITALL))
    settings = pickle.loads(server.recv(n_bytes, socket.MSG_WAITALL))  # noqa: S301  # from whoever started this process
    work = LiveWork(settings)
    called = threading.Event()
    threading.Thread(target=give_back, args=(called,), daemon=True).start()
    while True:
        _, ends, _, _ = socket.recv_fds(server, 1, 1)
        if not ends:
            os._exit(0)  # torch's thread may be in the middle of a step
        line = Line(socket.socket(fileno=ends[0]))
        threading.Thread(target=answer, args=(line, work, called), daemon=True).start()


def give_back(called: threading.Event) -> None:
    """What was freed is kept by glibc, as much as was ever used at once: memory would creep up while calls come."""
    while True:
        called.wait()
        called.clear()
        time.sleep(GIVES_BACK)
        give_back_memory()


def answer(line: Line, work: LiveWork, called: threading.Event) -> None:
    """One call after another, until the server hangs up."""
    with suppress(EOFError, OSError):
        while True:
            call = line.receive()
            try:
                _answer(line, call, work)
            finally:
                called.set()
    line.close()


def _answer(line: Line, call: Call, work: LiveWork) -> None:
    try:
        found = getattr(work, call.work)(CallPatience(call.seconds, line), *call.given)
        if isinstance(found, Iterator):
            for event in found:
                line.send(event)
            found = None
    except OSError:
        if line.has_hung_up():
            raise
        line.send(End(error=RuntimeError(traceback.format_exc())))
    except FeaturescopeError as error:
        line.send(End(error=error))
    except Exception:
        line.send(End(error=RuntimeError(traceback.format_exc())))  # as text: what an exception holds may not travel
    else:
        line.send(End(found))


if __name__ == "__main__":
    main()
