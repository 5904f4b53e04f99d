"""An ETag on every page and JSON answer: a browser that holds the same is told so, without its body again."""

import hashlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TAGGED = ("text/html", "application/json")
KEPT = frozenset(("etag", "cache-control", "vary", "expires", "date", "content-location"))  # in a 304, RFC 9110


class ETag:
    """Only answers that come whole are tagged: a stream passes. The tag is weak, since bodies are compressed later."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        asked = Headers(scope=scope).get("if-none-match", "")
        start: Message | None = None

        async def send_tagged(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_taggable(message):
                start = message  # kept until the body is known
                return
            if start is None or message["type"] != "http.response.body":
                await send(message)
                return
            head, start = start, None
            if not message.get("more_body", False):
                message = _tag(head, message, asked)
            await send(head)
            await send(message)

        await self.app(scope, receive, send_tagged)


def _is_taggable(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    return (
        start["status"] == 200
        and headers.get("content-type", "").startswith(TAGGED)
        and "etag" not in headers
        and "no-store" not in headers.get("cache-control", "")
    )


def _tag(start: Message, body: Message, asked: str) -> Message:
    """The body to send; the start becomes a 304 where the asker holds it already."""
    headers = MutableHeaders(raw=start["headers"])
    tag = f'W/"{hashlib.blake2b(body.get("body", b""), digest_size=12).hexdigest()}"'
    headers["etag"] = tag
    headers.setdefault("cache-control", "private, no-cache")
    start["headers"] = headers.raw
    if tag not in [given.strip() for given in asked.split(",")]:
        return body
    start["status"] = 304
    start["headers"] = [(name, value) for name, value in headers.raw if name.decode().lower() in KEPT]
    return {"type": "http.response.body", "body": b""}
