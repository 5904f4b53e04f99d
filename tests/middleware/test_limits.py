"""Requests that are too large, and senders that take too long."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from fastapi.testclient import TestClient
from httpx import ASGITransport, AsyncClient, Response

from app.listening import HEADER_SECONDS
from app.main import create_app
from app.middleware.limits import MAX_HEADERS, RequestLimits, max_address
from app.pages.errors import respond
from app.settings import Settings
from tests.conftest import Indexed
from tests.server import serving


def test_too_long_an_address_is_refused(indexed: Indexed) -> None:
    with TestClient(create_app(Settings(db=indexed.url, max_text=1000))) as client:
        refused = client.get("/api/v1/search?q=" + "a" * max_address(1000))
        assert refused.status_code == 414
        assert "max_text" in refused.json()["detail"]
        assert client.get("/dictionaries/tiny?q=" + "a" * 150).status_code == 200


def test_the_longest_text_that_may_be_run_fits_an_address_in_any_script(tmp_path: Path) -> None:
    text = "\U0001f3be" * Settings().max_text
    with serving(tmp_path, "serve", "--no-model") as address:
        connection = HTTPConnection(urlsplit(address).netloc, timeout=30)
        connection.request("GET", "/dictionaries/none/live?" + urlencode({"text": text}))
        answer = connection.getresponse()
        assert answer.status == 404  # it was read, and there is no such dictionary
        answer.read()
        connection.request("GET", "/dictionaries/none/live?" + urlencode({"text": text + text}))
        assert connection.getresponse().status in (400, 414)


def test_too_large_headers_are_refused(client: TestClient) -> None:
    assert client.get("/", headers={"x-filler": "a" * MAX_HEADERS}).status_code == 431


def test_a_body_that_grows_beyond_the_limit_is_refused(client: TestClient) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(30):
            yield b"x" * 50_000

    refused = client.post(
        "/api/v1/dictionaries/tiny/activations", content=pieces(), headers={"content-type": "application/json"}
    )
    assert refused.status_code == 413


@pytest.mark.slow
def test_headers_that_never_end_are_hung_up_on(tmp_path: Path) -> None:
    with serving(tmp_path, "serve", "--no-model") as address:
        place = urlsplit(address)
        with socket.create_connection((place.hostname, place.port), timeout=HEADER_SECONDS + 5) as connection:
            began = time.monotonic()
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
            assert connection.recv(100) == b""
            assert HEADER_SECONDS - 1 < time.monotonic() - began < HEADER_SECONDS + 4
        kept = HTTPConnection(place.hostname or "", place.port, timeout=5)
        for _ in range(3):
            kept.request("GET", "/healthz")
            assert kept.getresponse().read() == b"ok"


@pytest.mark.slow
def test_many_that_send_no_request_keep_nobody_from_an_answer(tmp_path: Path) -> None:
    """Three hundred may be open: of six hundred that wait, those that have waited longest are hung up on."""
    with serving(tmp_path, "serve", "--no-model", FEATURESCOPE_MAX_CONNECTIONS="300") as address, ExitStack() as held:
        place = urlsplit(address)
        waiting = []
        for n in range(600):
            connection = held.enter_context(socket.create_connection((place.hostname, place.port), timeout=5))
            half = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " if n % 2 else b"POST / HTTP/1.1\r\nHost: localhost\r\n"
            connection.sendall(half + b"Content-Length: 9\r\n\r\n1234" if n % 3 == 0 else half)
            waiting.append(connection)
        for _ in range(20):
            asking = HTTPConnection(place.hostname or "", place.port, timeout=5)
            asking.request("GET", "/dictionaries/none")
            assert asking.getresponse().status == 404
            asking.close()
        waiting[-1].setblocking(False)
        with pytest.raises(BlockingIOError):  # it still waits
            waiting[-1].recv(1)
        with suppress(ConnectionResetError):
            assert waiting[1].recv(1) == b""  # the first to send no whole headers, to which nothing is answered


def test_a_body_that_comes_in_drops_is_given_up(client: TestClient) -> None:
    async def ask() -> Response:
        async def body_in_drops() -> AsyncIterator[bytes]:
            for _ in range(600):
                yield b" "
                await asyncio.sleep(0.05)

        limited = RequestLimits(client.app, max_body=1000, max_address=1000, refuse=respond, body_seconds=0.3)
        async with AsyncClient(transport=ASGITransport(limited), base_url="http://localhost") as asking:
            return await asking.post("/api/v1/dictionaries/tiny/activations", content=body_in_drops())

    refused = asyncio.run(ask())
    assert refused.status_code == 408
    assert refused.headers["connection"] == "close"
    assert refused.json()["detail"] == "The rest of the request did not come."


def test_what_a_request_may_be_refused_for_stands_in_the_document(client: TestClient) -> None:
    for path, calls in client.get("/api/openapi.json").json()["paths"].items():
        for method, call in calls.items():
            expected = {"414", "421", "431"} | ({"400", "408", "413"} if "requestBody" in call else set())
            assert expected <= set(call["responses"]), (method, path)
