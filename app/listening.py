"""The HTTP server around the application: uvicorn, with limits on what a connection may hold up."""

import asyncio
import resource
import socket
from contextlib import suppress
from typing import ClassVar

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.errors import Invalid
from app.logs import set_up_logs
from app.main import create_app
from app.memory import keep_loaded, share_memory
from app.middleware.limits import MAX_HEADERS, max_address
from app.settings import Settings

HEADER_SECONDS = 10.0
READ_SECONDS = 60.0  # for a client to take more of its answer
STOP_SECONDS = 10  # for answers under way, once the server is told to stop
# Connections that the system holds for the server, and that asyncio takes at once: a quarter of those that may be open
# by default, so that whoever comes among many is read before it could be the one that has waited longest.
BACKLOG = 256
OTHER_FILES = 512  # open files beside connections: the database's, the log, what is served


class PunctualProtocol(H11Protocol):
    """Hangs up on who keeps a connection waiting, which costs nothing to hold open otherwise.

    Headers must be whole in time, an answer must be taken, and where as many connections are open as may be, the one
    that has waited longest for its request goes: whoever sends one at once is answered, however many send none.
    """

    # One server a process has. In the order in which they began to wait.
    waiting: ClassVar[dict["PunctualProtocol", None]] = {}

    _deadline: asyncio.TimerHandle | None = None
    _taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._watch()
        if self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency:
            next(iter(self.waiting)).hang_up()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        self.resume_writing()
        self.waiting.pop(self, None)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._taking = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def hang_up(self) -> None:
        self.waiting.pop(self, None)
        self.connections.discard(self)  # it counts no longer, though the socket closes a little later
        self.transport.abort()

    def _watch(self) -> None:
        self._wait()
        if self.conn.their_state is not h11.IDLE:
            self._stop_watching()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _wait(self) -> None:
        """Whether the next thing to happen is the client's to do: to send a request, or the rest of one."""
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY) and not self.transport.is_closing():
            self.waiting.setdefault(self)
        else:
            self.waiting.pop(self, None)

    def _stop_watching(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class Server(uvicorn.Server):
    """Says where it is once it answers."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
            print(f"Featurescope is at http://{host}:{self.config.port} (stop it with Ctrl-C)", flush=True)


def allow_files(connections: int) -> None:
    """As many open files as connections may need; many systems give a process 1,024. Raises Invalid."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    endless = resource.RLIM_INFINITY
    if hard != endless and hard < connections + OTHER_FILES:
        raise Invalid(
            f"{connections:,} connections (FEATURESCOPE_MAX_CONNECTIONS) need {connections + OTHER_FILES:,} files, "
            f"and this system lets the server have {hard:,}: allow fewer connections, or more files (LimitNOFILE)."
        )
    wanted = connections + BACKLOG + OTHER_FILES
    if soft != endless and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == endless else min(wanted, hard), hard))


def listen(settings: Settings) -> None:
    """Serves until it is told to stop."""
    share_memory()
    set_up_logs(settings.log)
    allow_files(settings.max_connections)
    app = create_app(settings)
    keep_loaded()
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=PunctualProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # whom a proxy forwards for is read in app/access/rule.py, from believed proxies alone
        limit_concurrency=settings.max_connections,
        backlog=BACKLOG,
        h11_max_incomplete_event_size=max_address(settings.max_text) + MAX_HEADERS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    with suppress(KeyboardInterrupt):  # that is how it is told, and by then it has stopped
        Server(config).run()
