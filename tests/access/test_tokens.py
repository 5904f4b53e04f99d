"""Tokens: what each role may do, how they end, and that only their hash is kept."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.__main__ import main
from app.roles import Role
from tests.access.conftest import HIDDEN, bearer
from tests.conftest import Page

LABELS = "/api/v1/dictionaries/tiny/features/3/labels"
LABEL = {"text": "serves", "author": "Ada"}
Serve = Callable[..., TestClient]
TokenOf = Callable[..., str]


def test_without_a_token_nothing_is_shown(serve: Serve) -> None:
    client = serve(access="token")
    refused = client.get("/api/v1/dictionaries")
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert "featurescope tokens create" in refused.json()["detail"]
    page = client.get("/dictionaries/tiny?q=a")
    assert (page.status_code, page.headers["location"]) == (303, "/sign-in?next=%2Fdictionaries%2Ftiny%3Fq%3Da")
    assert client.get("/healthz").status_code == 200
    assert client.get("/sign-in").status_code == 200


@pytest.mark.parametrize(
    ("role", "reads", "labels", "administers"),
    [
        (Role.NOBODY, 403, 403, 403),
        (Role.METRICS, 403, 403, 403),
        (Role.READ, 200, 403, 403),
        (Role.LABEL, 200, 201, 403),
        (Role.ADMIN, 200, 201, 200),
    ],
)
def test_a_token_may_do_what_its_role_says(
    serve: Serve, token_of: TokenOf, role: Role, reads: int, labels: int, administers: int
) -> None:
    client, has = serve(access="token"), bearer(token_of("Ada", role))
    assert client.get("/api/v1/dictionaries/tiny", headers=has).status_code == reads
    assert client.post(LABELS, json=LABEL, headers=has).status_code == labels
    assert client.get("/admin", headers=has).status_code == administers


def test_a_role_in_one_dictionary_wins_over_the_role_in_all(serve: Serve, token_of: TokenOf) -> None:
    client = serve(access="token")
    more = bearer(token_of("Ada", Role.READ, {"tiny": Role.LABEL}))
    assert client.post(LABELS, json=LABEL, headers=more).status_code == 201
    assert client.post(LABELS.replace("tiny", HIDDEN), json=LABEL, headers=more).status_code == 403
    less = bearer(token_of("Ben", Role.LABEL, {"tiny": Role.READ}))
    assert client.post(LABELS, json=LABEL, headers=less).status_code == 403
    assert client.get("/api/v1/dictionaries/tiny", headers=less).status_code == 200


def test_a_token_that_expired_or_was_revoked_is_good_for_nothing(
    serve: Serve, token_of: TokenOf, database: str
) -> None:
    client = serve(access="token")
    expired = token_of("Ada", Role.READ, {}, datetime.now(UTC) - timedelta(seconds=1))
    answer = client.get("/api/v1/dictionaries", headers=bearer(expired))
    assert (answer.status_code, "expired" in answer.json()["detail"]) == (401, True)
    ended = token_of("Ben", Role.READ)
    assert client.get("/api/v1/dictionaries", headers=bearer(ended)).status_code == 200
    assert main(["tokens", "revoke", "2", "--db", database]) == 0
    answer = client.get("/api/v1/dictionaries", headers=bearer(ended))
    assert (answer.status_code, "revoked" in answer.json()["detail"]) == (401, True)


def test_a_token_is_shown_once_and_listed_with_its_last_use(
    serve: Serve, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    at = ["--db", database]
    assert main(["tokens", "create", "Ada", "--role", "read", "--on", "tiny=label", "--days", "30", *at]) == 0
    secret = capsys.readouterr().out.split()[-1]
    assert secret.startswith("fscope_")
    main(["tokens", "list", *at])
    listed = capsys.readouterr().out
    assert "Ada\tread tiny=label\tgood" in listed
    assert "last used never" in listed
    with serve(access="token") as client:
        assert client.get("/api/v1/dictionaries", headers=bearer(secret)).status_code == 200
    main(["tokens", "list", *at])
    listed = capsys.readouterr().out
    assert f"last used {datetime.now(UTC):%Y-%m-%d}" in listed
    assert secret.removeprefix("fscope_") not in listed


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_database_holds_neither_tokens_nor_what_cookies_hold(
    serve: Serve, token_of: TokenOf, database_path: Path
) -> None:
    secret = token_of("Ada", Role.READ)
    client = serve(access="token")
    form = Page(200, client.get("/sign-in").text).one("input[name=form_token]").attributes["value"] or ""
    assert client.post("/sign-in", data={"token": secret, "form_token": form}).status_code == 303
    cookie = client.cookies["featurescope_session"].partition(".")[0]
    stored = b"".join(file.read_bytes() for file in database_path.parent.glob("access.db*"))
    for kept_secret in (secret, secret.removeprefix("fscope_"), cookie):
        assert kept_secret.encode() not in stored


def test_wrong_tokens_are_limited_by_address(serve: Serve, token_of: TokenOf) -> None:
    client, good = serve(access="token"), bearer(token_of("Ada", Role.READ))
    for _ in range(10):
        assert client.get("/api/v1/dictionaries", headers=bearer("fscope_guess")).status_code == 401
    refused = client.get("/api/v1/dictionaries", headers=bearer("fscope_guess"))
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 300
    assert client.get("/api/v1/dictionaries", headers=good).status_code == 200, "others sit behind the address too"
    other = serve("10.1.1.1", access="token")
    assert other.get("/api/v1/dictionaries", headers=good).status_code == 200


def test_live_calls_are_limited_by_person(serve: Serve, token_of: TokenOf) -> None:
    client = serve(access="token", live_rate=3)
    ada, ben = bearer(token_of("Ada", Role.READ)), bearer(token_of("Ben", Role.READ))
    live = "/api/v1/dictionaries/tiny/activations"
    for _ in range(3):
        assert client.post(live, json={"texts": ["x"]}, headers=ada).status_code == 503, "no model is served"
    assert client.post(live, json={"texts": ["x"]}, headers=ada).status_code == 429
    assert client.get("/dictionaries/tiny/live?text=x", headers=ada).status_code == 429
    assert client.get("/dictionaries/tiny/live", headers=ada).status_code == 200, "the empty form runs nothing"
    assert client.get("/dictionaries/tiny", headers=ada).status_code == 200
    assert client.post(live, json={"texts": ["x"]}, headers=ben).status_code == 503


@pytest.mark.parametrize(
    "wrong",
    [["--role", "king"], ["--on", "tiny"], ["--on", "tiny=king"], ["--days", "0"]],
    ids=lambda wrong: " ".join(wrong),
)
def test_a_token_that_cannot_be_is_refused(database: str, capsys: pytest.CaptureFixture[str], wrong: list[str]) -> None:
    assert main(["tokens", "create", "Ada", *wrong, "--db", database]) == 1
    assert capsys.readouterr().err.startswith("featurescope: ")
