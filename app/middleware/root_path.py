"""Serving under a path of another site (--root-path /scope): addresses come without it and go out with it.

Pages, redirects and htmx headers write addresses from the root, and get the prefix here, in one place. Only attributes
that hold an address are touched, and only their first character is looked at; text cannot look like one, since every
quotation mark in text is escaped.
"""

import re

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ADDRESS = re.compile(
    rb'(\s(?:href|src|action|formaction|poster|hx-(?:get|post|put|patch|delete|push-url|replace-url)|sse-connect|data-[a-z-]*(?:href|url))=")/(?!/)'
)
ADDRESS_HEADERS = ("location", "content-location", "hx-redirect", "hx-location", "hx-push-url", "hx-replace-url")
REFRESH = re.compile(r"(url=)/(?!/)")


class RootPath:
    """The proxy may cut the prefix off or leave it on: both are understood."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self.app = app
        self.prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path: str = scope["path"]
        inside = path == self.prefix or path.startswith(self.prefix + "/")
        scope = {**scope, "root_path": self.prefix, "path": path if inside else self.prefix + path}
        if scope["path"] == self.prefix:
            scope["path"] += "/"
        start: Message | None = None
        streams = False
        pieces: list[bytes] = []

        async def send_with_prefix(message: Message) -> None:
            nonlocal start, streams
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                self._prefix_headers(headers)
                if headers.get("content-type", "").startswith("text/html"):
                    start = message  # kept until the page is whole, since its length changes
                    return
                streams = headers.get("content-type", "").startswith("text/event-stream")
            elif message["type"] == "http.response.body" and streams:
                # A piece is a whole event.
                body = ADDRESS.sub(rb"\1" + self.prefix.encode() + b"/", message.get("body", b""))
                message = {**message, "body": body}
            elif message["type"] == "http.response.body" and start is not None:
                pieces.append(message.get("body", b""))
                if message.get("more_body", False):
                    return
                page = ADDRESS.sub(rb"\1" + self.prefix.encode() + b"/", b"".join(pieces))
                MutableHeaders(scope=start)["content-length"] = str(len(page))
                await send(start)
                await send({"type": "http.response.body", "body": page})
                return
            await send(message)

        await self.app(scope, receive, send_with_prefix)

    def _prefix_headers(self, headers: MutableHeaders) -> None:
        for name in ADDRESS_HEADERS:
            value = headers.get(name)
            if value is not None and value.startswith("/") and not value.startswith("//"):
                headers[name] = self.prefix + value
        if "refresh" in headers:
            headers["refresh"] = REFRESH.sub(rf"\1{self.prefix}/", headers["refresh"])
