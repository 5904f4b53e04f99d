"""The log, the request's id, the metrics and the health of a server as its keeper sees them."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from app.roles import Role
from tests.access.conftest import bearer
from tests.server import free_port, start

SECRET_TEXT = "what-nobody-should-log"


@contextmanager
def logging_server(folder: Path, *arguments: str) -> Iterator[tuple[httpx.Client, Callable[[], list[str]]]]:
    """A client of a running server, and a call that stops it and gives the lines of its log."""
    port = free_port()
    process = start(["serve", "--no-model", "--port", str(port), *arguments], folder)

    def stop() -> list[str]:
        process.send_signal(signal.SIGTERM)
        return process.communicate(timeout=30)[0].splitlines()

    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            for _ in range(300):
                try:
                    client.get("/healthz")
                    break
                except httpx.TransportError:
                    time.sleep(0.1)
            yield client, stop
    finally:
        process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_json_has_one_line_a_request_and_no_secret(database_path: Path, token_of: Callable[..., str]) -> None:
    ada = token_of("Ada", Role.LABEL)
    arguments = ("--log", "json", "--access", "token", "--db", str(database_path))
    with logging_server(database_path.parent, *arguments) as (client, stop):
        client.get(f"/dictionaries/tiny?q={SECRET_TEXT}", headers=bearer(ada) | {"x-request-id": "given-by-the-proxy"})
        client.get(f"/search?q={SECRET_TEXT}", headers={"cookie": f"featurescope_session={SECRET_TEXT}"})
        client.get("/api/v1/dictionaries", headers=bearer(SECRET_TEXT))
        client.post("/sign-in", data={"token": SECRET_TEXT}, headers={"referer": SECRET_TEXT})
        body = {"text": SECRET_TEXT, "author": "Ada"}
        client.post("/api/v1/dictionaries/tiny/features/3/labels", json=body, headers=bearer(ada))
        client.get("/%0a%1b[31mforged")
        lines = stop()
    assert not any(SECRET_TEXT in line or ada in line for line in lines)
    entries = [json.loads(line) for line in lines if line.startswith("{")]
    requests = [entry for entry in entries if entry["logger"] == "featurescope.request"]
    assert len(lines) - len(entries) == 1, "beside JSON there is the one line that says where the server is"
    asked = [entry for entry in requests if entry["path"] != "/healthz"]
    assert [(entry["method"], entry["status"]) for entry in asked] == [
        ("GET", 200),
        ("GET", 303),
        ("GET", 401),
        ("POST", 403),
        ("POST", 201),
        ("GET", 303),
    ] or asked[-1]["status"] == 404
    first = asked[0]
    assert (first["request_id"], first["who"]) == ("given-by-the-proxy", "Ada")
    assert first["route"] == "/dictionaries/{dictionary_id}"
    assert first["ms"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_who_was_signed_in_on_a_connection_is_forgotten_with_the_next_request(
    database_path: Path, token_of: Callable[..., str]
) -> None:
    ada = token_of("Adelheid", Role.LABEL)
    arguments = ("--log", "plain", "--access", "token", "--db", str(database_path))
    with logging_server(database_path.parent, *arguments) as (client, stop):
        for _ in range(3):
            assert "Adelheid" in client.get("/dictionaries/tiny/features/3", headers=bearer(ada)).text
            assert "Adelheid" not in client.get("/nope").text
        lines = stop()
    assert sum("/nope" in line for line in lines) == 3


def test_every_answer_carries_the_id_that_the_log_has(client: TestClient) -> None:
    first, second = (client.get("/").headers["x-request-id"] for _ in range(2))
    assert first != second
    assert client.get("/", headers={"x-request-id": "abc-12345"}).headers["x-request-id"] == "abc-12345"
    forged = client.get("/", headers={"x-request-id": 'no" {spaces}'})
    assert forged.headers["x-request-id"] != 'no" {spaces}'


def measured(text: str) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    }


def test_metrics_count_requests_by_route_and_say_what_is_so_now(client: TestClient) -> None:
    client.get("/dictionaries/tiny/features/3")
    client.get("/api/v1/dictionaries/tiny/features/3")
    client.get("/no/such/page")
    values = measured(client.get("/metrics").text)
    for route in (
        "/dictionaries/{dictionary_id}/features/{index}",
        "/api/v1/dictionaries/{dictionary_id}/features/{index}",
    ):
        name = f'featurescope_request_seconds_count{{method="GET",route="{route}",status="200"}}'
        assert values[name] >= 1
    assert values['featurescope_request_seconds_count{method="GET",route="other",status="404"}'] >= 1
    assert values["featurescope_dictionaries"] == 1
    assert values["featurescope_features"] == 24
    assert values["featurescope_database_bytes"] > 10_000
    assert values["featurescope_index_age_seconds"] > 0
    assert values["featurescope_live_waiting"] == 0
    assert "featurescope_model_bytes" in values
    assert "featurescope_live_batches_total" in values


def test_metrics_have_a_role_of_their_own(serve: Callable[..., TestClient], token_of: Callable[..., str]) -> None:
    client = serve(access="token")
    for role, status in ((Role.METRICS, 200), (Role.ADMIN, 200), (Role.LABEL, 403)):
        assert client.get("/metrics", headers=bearer(token_of("Someone", role))).status_code == status
    assert client.get("/metrics").status_code == 303
    scraper = bearer(token_of("Prometheus", Role.METRICS))
    assert "tiny" not in client.get("/metrics", headers=scraper).text, "dictionaries are not named"
    assert serve(read_only=True).get("/metrics").status_code == 403


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_ready_is_200_while_the_database_serves_and_503_once_it_does_not(
    serve: Callable[..., TestClient], database_path: Path
) -> None:
    client = serve(read_only=True)
    answer: dict[str, Any] = client.get("/readyz").json()
    assert (answer["ready"], answer["database"]) == (True, "ok")
    import sqlite3

    with sqlite3.connect(database_path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    refused = client.get("/readyz")
    assert refused.status_code == 503
    assert refused.json() == {"ready": False, "database": "another schema", "schema": "9999", "live_waiting": 0}
    assert client.get("/healthz").status_code == 200
    assert str(database_path.parent) not in refused.text
