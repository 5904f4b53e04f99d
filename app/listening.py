"""The HTTP server around the application: uvicorn, with limits on what a connection may hold up."""

import asyncio
import gc
import socket

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.logs import set_up_logs
from app.main import create_app
from app.middleware.limits import MAX_ADDRESS, MAX_HEADERS
from app.settings import Settings

HEADER_SECONDS = 10.0
STOP_SECONDS = 10  # for answers under way, once the server is told to stop


class PunctualProtocol(H11Protocol):
    """Hangs up where a request's headers are not whole in time: a connection costs nothing to hold open otherwise."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._stop_watching()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(HEADER_SECONDS, self.transport.close)

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


def keep_for_good() -> None:
    """What is loaded by now stays: a search for garbage need not look through it, and hold up a page for 50 ms."""
    gc.collect()
    gc.freeze()


def listen(settings: Settings) -> None:
    """Serves until it is told to stop."""
    set_up_logs(settings.log)
    app = create_app(settings)
    keep_for_good()
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
        h11_max_incomplete_event_size=MAX_ADDRESS + MAX_HEADERS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    Server(config).run()
