"""What the server and the process that runs its models say to one another: pickled objects over a pair of sockets.

A line carries one call at a time. The server sends a Call, the other end any number of events and then one End. Who
hangs up in the middle ends the call: there is no other way to stop one, and none that could come too late.
"""

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

LENGTH_BYTES = 4  # of the settings, that stand before them in what a process is told first


@dataclass(frozen=True)
class Call:
    """work: a method of LiveWork; given: its arguments after the patience, which has so many seconds."""

    work: str
    given: tuple[Any, ...]
    seconds: float


@dataclass(frozen=True)
class End:
    """What the call returned, or what it raised."""

    value: Any = None
    error: BaseException | None = None


class Line:
    """One end."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._connection = Connection(os.dup(end.fileno()))

    def send(self, what: object) -> None:
        """Raises OSError where the other end has hung up."""
        self._connection.send(what)

    def receive(self, seconds: float | None = None) -> Any:
        """Raises TimeoutError, and EOFError or OSError where the other end has hung up."""
        if not self._connection.poll(seconds):
            raise TimeoutError
        return self._connection.recv()

    def has_hung_up(self) -> bool:
        """Whether the other end has, asked while it has nothing to say."""
        try:
            return self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def hang_up(self) -> None:
        """From any thread: whoever receives or sends at either end is told."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.hang_up()
        self._socket.close()
        self._connection.close()
