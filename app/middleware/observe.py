"""One line in the log and one observation in the metrics for each request, under an id that its answer carries."""

import logging
import re
import time
from collections.abc import Callable
from contextvars import ContextVar
from secrets import token_hex

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access.visit import forget_visit
from app.metrics import Metrics

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
WATCHED = ("/healthz", "/readyz", "/metrics")  # asked for by machines, again and again
GIVEN_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}")
requests = logging.getLogger("featurescope.request")


class Observe:
    """The query is never logged: it holds the texts that people run, and may hold secrets."""

    def __init__(self, app: ASGIApp, metrics: Metrics, browsed: Callable[[], object]) -> None:
        """browsed: called where somebody asks for what is there, and runs nothing."""
        self.app = app
        self.metrics = metrics
        self.browsed = browsed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # A connection that is kept alive can hand the context of one request on to the next one's task.
        forget_visit()
        given = Headers(scope=scope).get("x-request-id", "")
        id = given if GIVEN_ID.fullmatch(given) else token_hex(8)
        REQUEST_ID.set(id)
        method, path = scope["method"], scope["path"]
        if method == "GET" and not path.endswith(WATCHED):
            self.browsed()
        began = time.perf_counter()
        status, sent = 500, 0

        async def send_observed(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = id
            else:
                sent += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive, send_observed)
        finally:
            seconds = time.perf_counter() - began
            route = scope["app"].state.paths.get(scope.get("endpoint"), "other")
            self.metrics.observe(route, method, status, seconds)
            if requests.isEnabledFor(logging.INFO):
                visit = scope.get("state", {}).get("visit")
                requests.info(
                    "%s %s %s",
                    method,
                    path,
                    status,
                    extra={
                        "request": {
                            "method": method,
                            "path": path,
                            "route": route,
                            "status": status,
                            "ms": round(seconds * 1000, 2),
                            "bytes": sent,
                            "who": visit.person.name if visit is not None else None,
                            "from": (scope.get("client") or ("",))[0],
                        }
                    },
                )
