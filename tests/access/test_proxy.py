"""A proxy that says who is there: believed from its own address alone."""

from collections.abc import Callable

from fastapi.testclient import TestClient

from app.__main__ import main

Serve = Callable[..., TestClient]
ADA = {"x-forwarded-user": "ada@example.org"}


def test_the_header_is_believed_from_named_addresses_alone(serve: Serve) -> None:
    proxy = serve("10.0.0.5", access="proxy", proxies="10.0.0.0/24")
    assert proxy.get("/api/v1/dictionaries", headers=ADA).status_code == 200
    assert proxy.get("/api/v1/dictionaries").status_code == 401
    stranger = serve("10.0.1.5", access="proxy", proxies="10.0.0.0/24")
    assert stranger.get("/api/v1/dictionaries", headers=ADA).status_code == 401
    forged = ADA | {"x-forwarded-for": "10.0.0.5", "forwarded": "for=10.0.0.5"}
    assert stranger.get("/api/v1/dictionaries", headers=forged).status_code == 401


def test_who_it_names_has_the_role_that_they_were_given(serve: Serve, database: str) -> None:
    client = serve(access="proxy")
    where, label = "/api/v1/dictionaries/tiny/features/3/labels", {"text": "x", "author": "Ada"}
    assert client.post(where, json=label, headers=ADA).status_code == 403, "newcomers read"
    main(["people", "set", "ada@example.org", "--role", "label", "--db", database])
    assert client.post(where, json=label, headers=ADA).status_code == 201
    main(["people", "remove", "ada@example.org", "--db", database])
    assert client.post(where, json=label, headers=ADA).status_code == 403


def test_the_header_may_have_another_name(serve: Serve) -> None:
    client = serve(access="proxy", proxy_header="x-remote-user")
    assert client.get("/api/v1/dictionaries", headers=ADA).status_code == 401
    assert client.get("/api/v1/dictionaries", headers={"x-remote-user": "ada"}).status_code == 200


def test_a_header_means_nothing_where_no_proxy_is_trusted_to_name_people(serve: Serve) -> None:
    assert serve(access="token").get("/api/v1/dictionaries", headers=ADA).status_code == 401


def test_failed_sign_ins_are_counted_for_whom_a_believed_proxy_forwards(serve: Serve) -> None:
    client = serve("127.0.0.1", access="token")
    wrong = {"authorization": "Bearer fscope_guess"}
    for _ in range(11):
        last = client.get("/api/v1/dictionaries", headers=wrong | {"x-forwarded-for": "1.1.1.1, 203.0.113.9"})
    assert last.status_code == 429
    elsewhere = client.get("/api/v1/dictionaries", headers=wrong | {"x-forwarded-for": "203.0.113.9, 203.0.113.10"})
    assert elsewhere.status_code == 401
