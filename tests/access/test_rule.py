"""The server is open and writable on loopback alone; elsewhere it wants a rule."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.access.rule import check_access
from app.errors import Invalid
from app.main import create_app
from app.settings import Settings
from tests.server import run

WAYS = ("--read-only", "--access token", "--access proxy")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "lab.example"])
def test_elsewhere_than_on_loopback_a_rule_is_wanted(host: str) -> None:
    with pytest.raises(Invalid) as refused:
        create_app(Settings(host=host))
    assert all(way in str(refused.value) for way in WAYS)
    check_access(Settings(host=host, read_only=True))
    check_access(Settings(host=host, access="token"))
    check_access(Settings(host=host, access="proxy"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_on_loopback_no_rule_is_wanted(host: str) -> None:
    check_access(Settings(host=host))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"access": "password"}, "token or proxy"),
        ({"anonymous": "admin"}, "nobody or read"),
        ({"newcomers": "admin"}, "nobody, read or label"),
        ({"access": "proxy", "proxies": "10.0.0.300"}, "10.0.0.5"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(wrong: dict[str, str], says: str) -> None:
    with pytest.raises(Invalid, match=says):
        check_access(Settings(**wrong))  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_command_refuses_to_start_and_names_the_three_ways(tmp_path: Path) -> None:
    refused = run(["serve", "--host", "0.0.0.0", "--port", "0"], tmp_path)
    assert refused.returncode == 1
    assert all(way in refused.stderr for way in WAYS)
    assert "Traceback" not in refused.stderr


def test_read_only_shows_everything_and_changes_nothing(serve: Callable[..., TestClient]) -> None:
    client = serve(read_only=True)
    assert client.get("/dictionaries/tiny").status_code == 200
    refused = client.post("/api/v1/dictionaries/tiny/features/3/labels", json={"text": "x", "author": "Eve"})
    assert refused.status_code == 403
    assert "--read-only" in refused.json()["detail"]
    assert client.get("/admin").status_code == 403
