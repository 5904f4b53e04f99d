"""Requests that are too large, and senders that take too long."""

import socket
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient

from app.listening import HEADER_SECONDS
from app.middleware.limits import MAX_ADDRESS, MAX_HEADERS
from tests.server import serving


def test_too_long_an_address_is_refused(client: TestClient) -> None:
    refused = client.get("/api/v1/search?q=" + "a" * MAX_ADDRESS)
    assert refused.status_code == 414
    assert "POST" in refused.json()["detail"]
    assert client.get("/dictionaries/tiny?q=" + "a" * 150).status_code == 200


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
