"""How large a request may be, and how long its sender may take."""

import asyncio
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CHARACTER = 12  # bytes that one may take in an address: four, each written as %F0
BESIDE_TEXT = 8_000  # bytes of an address for what stands there beside a text to run
MAX_HEADERS = 16_000  # bytes of all headers
BODY_SECONDS = 60.0  # for a whole body


def max_address(max_text: int) -> int:
    """Bytes of path and query: a live page's address holds its text, of so many characters."""
    return CHARACTER * max_text + BESIDE_TEXT


class RequestLimits:
    """Refuses an address, headers or a body that is too large: at once where its size is declared, else when it grows
    beyond; and a body that does not come in time, however often a little of it does."""

    def __init__(
        self,
        app: ASGIApp,
        max_body: int,
        max_address: int,
        refuse: Callable[[Request, int, str], Response],
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self.app = app
        self.max_body = max_body
        self.max_address = max_address
        self.refuse = refuse
        self.body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        too_large = self._too_large(scope)
        if too_large is not None:
            answer = self.refuse(Request(scope), *too_large)
            answer.headers["connection"] = "close"
            await answer(scope, receive, send)
            return
        received, is_whole = 0, False
        until = asyncio.get_running_loop().time() + self.body_seconds

        async def receive_within_limits() -> Message:
            nonlocal received, is_whole
            if is_whole:  # what comes now is that the client has gone, whenever that is
                return await receive()
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, "The rest of the request did not come.", {"connection": "close"}) from None
            received += len(message.get("body", b""))
            if received > self.max_body:
                raise HTTPException(413, self._too_large_a_body(), {"connection": "close"})
            is_whole = not message.get("more_body", False)
            return message

        await self.app(scope, receive_within_limits, send)

    def _too_large(self, scope: Scope) -> tuple[int, str] | None:
        address = len(scope.get("raw_path") or b"") + len(scope["query_string"])
        if address > self.max_address:
            return (
                414,
                f"The address has {address:,} bytes; at most {self.max_address:,} are read (the setting max_text).",
            )
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADERS:
            return 431, f"The headers of a request may have at most {MAX_HEADERS:,} bytes."
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > self.max_body:
            return 413, self._too_large_a_body()
        return None

    def _too_large_a_body(self) -> str:
        return f"The body of a request may have at most {self.max_body:,} bytes (max_body); send less at a time."
