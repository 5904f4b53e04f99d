"""Streams of a real server: a reader that leaves stops the work, and those who come after are served."""

import http.client
import json
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.conftest import index_tiny
from tests.server import serving
from tests.tiny import Tiny

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("streams")
    index_tiny(tiny, folder / "tiny.db")
    with serving(folder, "serve", "--db", "tiny.db", "--warm") as served:
        yield served


def asked(**changed: object) -> str:
    one = {"index": 3, "strength": 0.5}
    body = {"prompt": "a", "features": [one], "max_new_tokens": 50, "n_samples": 4, "controls": True, "temperature": 3}
    return json.dumps(body | changed)


def begin(address: str) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    path = "/api/v1/dictionaries/tiny/steer"
    connection.request("POST", path, asked(), {"content-type": "application/json"})
    return connection


def test_readers_that_leave_give_their_places_back(address: str) -> None:
    """There are 32 places: 40 readers that each leave after one event would fill them if any place were kept."""
    for _ in range(40):
        connection = begin(address)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        assert answer.readline().startswith(b"event: token")
        connection.close()
        answer.close()
    time.sleep(1)
    connection = begin(address)
    text = connection.getresponse().read().decode()
    assert "event: summary" in text


def test_tokens_come_while_the_text_is_written(address: str) -> None:
    connection = begin(address)
    answer = connection.getresponse()
    first = time.monotonic()
    answer.readline()
    begun = time.monotonic() - first
    answer.read()
    assert begun < (time.monotonic() - first) / 2


def test_pages_are_served_while_a_text_is_written(address: str) -> None:
    connection = begin(address)
    answer = connection.getresponse()
    answer.readline()
    browsing = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
    browsing.request("GET", "/dictionaries/tiny/features/3")
    assert browsing.getresponse().status == 200
    assert "event: summary" in answer.read().decode()
