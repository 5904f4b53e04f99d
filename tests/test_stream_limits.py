"""A steering stream that meets the time limit or loses its model, as who reads it over HTTP sees it."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from fastapi.testclient import TestClient

from tests.engine.processes import model_processes

LIMIT = 1.5  # seconds: the prompt is checked in some milliseconds of it
FEATURE = {"index": 3, "strength": 0.5}
LONG = {"max_new_tokens": 60, "n_samples": 4, "temperature": 3}  # many more tokens than wait for a reader
ASKED = {"prompt": "a", "features": [FEATURE], "controls": True, **LONG}
CALL = "/api/v1/dictionaries/tiny/steer"
PAGE = "/dictionaries/tiny/steer/events?" + urlencode(
    {"prompt": "a", "feature": 3, "strength": 0.5, "controls": "on", **LONG}
)


def kill_models() -> None:
    for process in model_processes():
        os.kill(process, signal.SIGKILL)


async def read_late(
    app: Any, method: str, address: str, body: object = None, meanwhile: Callable[[], object] = lambda: None
) -> str:
    """The whole answer, for a reader who takes its first piece, and the others when the limit is over."""
    path, _, query = address.partition("?")
    scope = {"type": "http", "http_version": "1.1", "method": method, "scheme": "http", "root_path": "", "path": path}
    scope |= {"query_string": query.encode(), "client": ("testclient", 1), "server": ("testserver", 80)}
    scope["headers"] = [(b"host", b"testserver"), (b"content-type", b"application/json")]
    asked = iter([{"type": "http.request", "body": json.dumps(body).encode()}])
    pieces: list[bytes] = []

    async def receive() -> Any:
        return next(asked, None) or await asyncio.Event().wait()  # it stays

    async def send(message: Any) -> None:
        assert message.get("status", 200) == 200
        pieces.append(message.get("body", b""))
        if len(pieces) == 2:  # the status came first
            meanwhile()
            await asyncio.sleep(LIMIT + 0.1)

    await app(scope, receive, send)
    return b"".join(pieces).decode()


async def both(app: Any) -> list[str]:
    return await asyncio.gather(read_late(app, "POST", CALL, ASKED), read_late(app, "GET", PAGE))


def events(stream: str) -> list[tuple[str, str]]:
    """Name and data of each. Raises where a line is neither, or the last event is not ended."""
    *blocks, rest = stream.split("\n\n")
    assert rest == ""
    found = []
    for block in filter(None, blocks):
        lines = [line.split(": ", 1) for line in block.strip("\n").splitlines() if line != "data:"]
        assert {name for name, _ in lines} <= {"event", "data", "id"}
        (name,) = [value for field, value in lines if field == "event"]
        found.append((name, "\n".join(value for field, value in lines if field == "data")))
    return found


def test_a_stream_whose_time_is_up_ends_with_an_error_that_names_the_limit(client: TestClient) -> None:
    def steer(n: int) -> str:
        return client.post(CALL, json=ASKED | {"max_new_tokens": n, "n_samples": 1}).text

    assert "event: summary" in steer(1)  # the model is loaded
    state: Any = client.app.state  # type: ignore[attr-defined]  # a FastAPI, not any ASGI app
    usual = state.settings
    state.settings = replace(usual, max_seconds=LIMIT)
    try:
        assert client.portal is not None
        call, page = map(events, client.portal.call(both, client.app))
    finally:
        state.settings = usual

    *tokens, (name, data) = call
    assert {name for name, _ in tokens} == {"token"}
    problem = json.loads(data)
    assert (name, problem["status"]) == ("error", 503)
    assert "1.5 s" in problem["detail"]
    assert "max_seconds" in problem["detail"]

    *tokens, (name, html), (last, _) = page
    assert {name for name, _ in tokens} == {"base-0", "steered-0"}
    assert (name, last) == ("problem", "end")
    assert 'role="alert"' in html
    assert "max_seconds" in html

    assert state.runtime.door.n_inside == 0
    assert "event: summary" in steer(3)


def test_a_stream_whose_model_has_gone_ends_with_an_error_and_the_next_has_another(client: TestClient) -> None:
    def ask(method: str, address: str, body: object = None) -> list[tuple[str, str]]:
        assert client.portal is not None
        return events(client.portal.call(read_late, client.app, method, address, body, kill_models))

    *tokens, (name, data) = ask("POST", CALL, ASKED)
    assert {name for name, _ in tokens} == {"token"}
    problem = json.loads(data)
    assert (name, problem["status"]) == ("error", 503)
    assert "ended before it had answered" in problem["detail"]

    *tokens, (name, html), (last, _) = ask("GET", PAGE)
    assert {name for name, _ in tokens} <= {"base-0", "steered-0"}
    assert (name, last) == ("problem", "end")
    assert "ended before it had answered" in html
    assert client.app.state.runtime.door.n_inside == 0  # type: ignore[attr-defined]  # a FastAPI, not any ASGI app
    assert "event: summary" in client.post(CALL, json=ASKED | {"max_new_tokens": 3, "n_samples": 1}).text
