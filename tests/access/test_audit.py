"""The audit log: who stored what, when; in the transaction that stores it."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from app.__main__ import main
from app.roles import Role
from tests.access.conftest import bearer

WHERE = "/api/v1/dictionaries/tiny/features/3/labels"


def test_every_write_is_there_with_who_and_what(
    serve: Callable[..., TestClient],
    token_of: Callable[..., str],
    database: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    client, ada = serve(access="token"), bearer(token_of("Ada", Role.LABEL))
    id = client.post(WHERE, json={"text": "serves", "author": "Ada"}, headers=ada).json()["id"]
    client.put(f"{WHERE}/{id}", json={"text": "aces", "author": "Ada"}, headers={**ada, "if-match": "*"})
    client.delete(f"{WHERE}/{id}", headers=ada)
    client.get(WHERE, headers=ada)
    client.post(WHERE, json={"text": " ", "author": "Ada"}, headers=ada)
    main(["audit", "--who", "Ada", "--db", database])
    removed, changed, added = capsys.readouterr().out.splitlines()
    assert f"\tAda\tbearer\tPOST {WHERE}\tadded labels {id}: " in added
    assert "text='serves'" in added
    assert f"PUT {WHERE}/{id}\t" in changed
    assert "text='aces'" in changed
    assert f"removed labels {id}" in removed


def test_making_a_token_is_there_without_the_token(
    serve: Callable[..., TestClient], database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["tokens", "create", "Ada", "--role", "admin", "--db", database])
    secret = capsys.readouterr().out.split()[-1]
    page = serve(access="token").get("/admin", headers=bearer(secret)).text
    assert "tokens create" in page
    assert "command line" in page
    assert secret not in page
    main(["audit", "--db", database])
    assert "hash" not in capsys.readouterr().out
