"""A private dictionary is not there for whom it is not for: not in any page, list, search, count or error."""

import re
from collections.abc import Callable

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from app.__main__ import main
from app.main import create_app
from app.roles import Role
from app.settings import Settings
from tests.access.conftest import HIDDEN, HIDDEN_TITLE, bearer

Serve = Callable[..., TestClient]
TokenOf = Callable[..., str]
READ_ROUTES = [
    route.path or ""
    for route in iter_route_contexts(create_app(Settings()).routes)
    if "GET" in (route.methods or ()) and "{path" not in (route.path or "")
]


@pytest.fixture
def private(database: str) -> None:
    assert main(["private", HIDDEN, "--db", database]) == 0


def addresses() -> list[str]:
    """Every address that is read, of what is there and of what is not, and searches over everything."""
    filled = []
    for path in READ_ROUTES:
        for id in ("tiny", "nope", HIDDEN) if "{dictionary_id}" in path else ("",):
            filled.append(re.sub(r"\{\w+(:\w+)?\}", "3", path.replace("{dictionary_id}", id)))
    searches = [f"{path}?q={q}" for path in ("/search", "/api/v1/search") for q in ("tennis", "the", HIDDEN, "kept")]
    return filled + searches + [f"/search?q=tennis&dictionary={HIDDEN}", f"/api/v1/search?q=tennis&dictionary={HIDDEN}"]


@pytest.mark.usefixtures("private")
def test_it_appears_in_no_answer(serve: Serve, token_of: TokenOf) -> None:
    client, reader = serve(access="token"), bearer(token_of("Ada", Role.LABEL))
    for address in addresses():
        answer = client.get(address, headers=reader)
        asked_for = answer.text.replace(f"/dictionaries/{HIDDEN}", "").replace(f"no dictionary '{HIDDEN}'", "")
        asked_for = asked_for.replace(f"no dictionary &#39;{HIDDEN}&#39;", "").replace(f'value="{HIDDEN}"', "")
        assert HIDDEN_TITLE not in answer.text, address
        if HIDDEN not in address:
            assert HIDDEN not in asked_for, address
        elif "/dictionaries/" in address:
            assert answer.status_code == 404, address


@pytest.mark.usefixtures("private")
def test_asking_for_it_is_answered_as_asking_for_what_is_not_there(serve: Serve, token_of: TokenOf) -> None:
    client, reader = serve(access="token"), bearer(token_of("Ada", Role.READ, {"tiny": Role.LABEL}))
    for path in READ_ROUTES:
        if "{dictionary_id}" not in path:
            continue
        private, missing = (
            client.get(re.sub(r"\{\w+(:\w+)?\}", "3", path.replace("{dictionary_id}", id)), headers=reader)
            for id in (HIDDEN, "x" * len(HIDDEN))
        )
        assert private.status_code == missing.status_code
        assert private.text.replace(HIDDEN, "?") == missing.text.replace("x" * len(HIDDEN), "?"), path
    label = {"text": "x", "author": "Eve"}
    for id in (HIDDEN, "nope"):
        where = f"/api/v1/dictionaries/{id}/features/3/labels"
        assert client.post(where, json=label, headers=reader).status_code == 403
        assert client.post(where, json=label, headers=bearer(token_of("Ben", Role.LABEL))).status_code == 404


@pytest.mark.usefixtures("private")
def test_a_page_made_for_whom_it_is_for_is_shown_to_nobody_else(serve: Serve, token_of: TokenOf) -> None:
    client = serve(access="token", anonymous="read")
    admin, reader = bearer(token_of("Root", Role.ADMIN)), bearer(token_of("Ada", Role.READ))
    insider = bearer(token_of("Ida", Role.READ, {HIDDEN: Role.READ}))
    for address in ("/", f"/dictionaries/{HIDDEN}", f"/dictionaries/{HIDDEN}/features/3"):
        for _ in range(2):  # made, and shown again
            for who in (admin, insider):
                assert HIDDEN_TITLE in client.get(address, headers=who).text
            for who in (reader, {}):
                answer = client.get(address, headers=who)
                assert HIDDEN_TITLE not in answer.text
                assert answer.status_code == (200 if address == "/" else 404)
        assert "Ida" not in client.get(address, headers=admin).text


@pytest.mark.usefixtures("private")
def test_counts_leave_it_out(serve: Serve, token_of: TokenOf) -> None:
    client = serve(access="token")
    reader, admin = bearer(token_of("Ada", Role.READ)), bearer(token_of("Root", Role.ADMIN))
    counted = {
        name: client.get("/api/v1/search?q=tennis", headers=who).json()["total"]
        for name, who in (("reader", reader), ("admin", admin))
    }
    assert 0 < counted["reader"] < counted["admin"]


@pytest.mark.usefixtures("private")
def test_it_is_there_for_whom_it_was_opened_to_and_for_admins(serve: Serve, token_of: TokenOf) -> None:
    client = serve(access="token")
    for who in (
        bearer(token_of("Ada", Role.READ, {HIDDEN: Role.READ})),
        bearer(token_of("Ben", Role.NOBODY, {HIDDEN: Role.READ})),
        bearer(token_of("Root", Role.ADMIN)),
    ):
        assert client.get(f"/dictionaries/{HIDDEN}", headers=who).status_code == 200
        assert HIDDEN_TITLE in client.get("/", headers=who).text
    only = bearer(token_of("Cy", Role.NOBODY, {HIDDEN: Role.READ}))
    listed = client.get("/api/v1/dictionaries", headers=only).json()["dictionaries"]
    assert [found["id"] for found in listed] == [HIDDEN]
    assert client.get("/dictionaries/tiny", headers=only).status_code == 404


@pytest.mark.usefixtures("private")
def test_it_is_not_there_for_readers_of_an_open_server(serve: Serve, database: str) -> None:
    client = serve(read_only=True)
    assert client.get(f"/dictionaries/{HIDDEN}").status_code == 404
    assert HIDDEN_TITLE not in client.get("/").text
    main(["private", HIDDEN, "--open", "--db", database])
    assert client.get(f"/dictionaries/{HIDDEN}").status_code == 200


def test_a_role_can_close_a_dictionary_that_is_open_to_others(serve: Serve, token_of: TokenOf) -> None:
    closed = bearer(token_of("Ada", Role.READ, {HIDDEN: Role.NOBODY}))
    client = serve(access="token")
    assert client.get(f"/dictionaries/{HIDDEN}", headers=closed).status_code == 404
    assert HIDDEN_TITLE not in client.get("/", headers=closed).text
