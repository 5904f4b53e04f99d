"""Browsers: signing in with a token, the cookie, forms, and signing out."""

import re
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from httpx import Response

from app.roles import Role
from tests.conftest import Page

Serve = Callable[..., TestClient]
TokenOf = Callable[..., str]


def form_token(client: TestClient, address: str = "/sign-in") -> str:
    page = Page(200, client.get(address).text)
    return page.one("input[name=form_token]").attributes["value"] or ""


def sign_in(client: TestClient, secret: str, next: str = "/") -> Response:
    return client.post("/sign-in", data={"token": secret, "next": next, "form_token": form_token(client)})


def test_a_person_signs_in_with_a_token_and_is_led_on(serve: Serve, token_of: TokenOf) -> None:
    client = serve(access="token")
    answer = sign_in(client, token_of("Ada", Role.READ), "/dictionaries/tiny?q=a")
    assert (answer.status_code, answer.headers["location"]) == (303, "/dictionaries/tiny?q=a")
    page = client.get("/dictionaries/tiny")
    assert page.status_code == 200
    assert "Ada" in Page(200, page.text).text("footer")


def test_the_cookie_is_signed_out_of_reach_of_scripts_and_of_other_sites(serve: Serve, token_of: TokenOf) -> None:
    client = serve(address="https://lens.example", access="token", public_url="https://lens.example")
    cookie = sign_in(client, token_of("Ada", Role.READ)).headers["set-cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=lax", "Secure", "Path=/"))
    client = serve(access="token")
    sign_in(client, token_of("Ben", Role.READ))
    value = client.cookies["featurescope_session"]
    secret, signature = value.split(".")
    for forged in (secret, f"{secret}.", f"{secret}.{'0' * 64}", f"x{secret}.{signature}", "é.ü"):
        client.cookies.clear()
        assert client.get("/", headers={"cookie": f"featurescope_session={forged}".encode()}).status_code == 303
    assert client.get("/", headers={"cookie": f"featurescope_session={value}"}).status_code == 200


def test_the_session_and_the_token_of_forms_change_at_sign_in(serve: Serve, token_of: TokenOf) -> None:
    client = serve(access="token")
    before = form_token(client)
    sign_in(client, token_of("Ada", Role.READ))
    first, signed_in = client.cookies["featurescope_session"], form_token(client)
    assert signed_in != before
    client.post("/sign-in", data={"token": token_of("Ben", Role.READ), "form_token": signed_in})
    second = client.cookies["featurescope_session"]
    assert second != first
    client.cookies.clear()
    assert client.get("/", headers={"cookie": f"featurescope_session={first}"}).status_code == 303, (
        "the old one is over"
    )


def test_who_signs_out_is_out(serve: Serve, token_of: TokenOf) -> None:
    client = serve(access="token")
    sign_in(client, token_of("Ada", Role.READ))
    kept = client.cookies["featurescope_session"]
    assert client.post("/sign-out", data={"form_token": form_token(client)}).status_code == 303
    assert "featurescope_session" not in client.cookies
    assert client.get("/", headers={"cookie": f"featurescope_session={kept}"}).status_code == 303


def test_a_revoked_token_signs_its_browsers_out(serve: Serve, token_of: TokenOf) -> None:
    ada, root = serve(access="token"), serve(access="token")
    sign_in(ada, token_of("Ada", Role.READ))
    sign_in(root, token_of("Root", Role.ADMIN))
    assert ada.get("/").status_code == 200
    root.post("/admin/tokens/1/revoke", data={"form_token": form_token(root, "/admin")})
    assert ada.get("/").status_code == 303


def test_a_wrong_token_is_refused_on_the_page_and_soon_limited(serve: Serve, token_of: TokenOf) -> None:
    client = serve(access="token")
    for _ in range(10):
        refused = sign_in(client, "fscope_guess")
        assert refused.status_code == 401
        assert "not known here" in Page(401, refused.text).text("[role=alert]")
    assert sign_in(client, "fscope_guess").status_code == 429
    assert sign_in(client, token_of("Ada", Role.READ)).status_code == 303


@pytest.mark.parametrize("elsewhere", ["https://evil.example", "//evil.example", "/\\evil.example", "evil", "/\nx"])
def test_signing_in_never_leads_elsewhere(serve: Serve, token_of: TokenOf, elsewhere: str) -> None:
    assert sign_in(serve(access="token"), token_of("Ada", Role.READ), elsewhere).headers["location"] == "/"


def test_a_form_without_its_token_is_refused(serve: Serve, token_of: TokenOf) -> None:
    client = serve(access="token")
    secret = token_of("Ada", Role.ADMIN)
    assert client.post("/sign-in", data={"token": secret}).status_code == 403
    assert client.post("/sign-in", data={"token": secret, "form_token": "é"}).status_code == 403
    other = form_token(serve(access="token"))
    assert client.post("/sign-in", data={"token": secret, "form_token": other}).status_code == 403
    sign_in(client, secret)
    refused = client.post("/admin/tokens", data={"name": "Eve", "role": "admin"})
    assert refused.status_code == 403
    assert "load the page again" in refused.text


def test_an_admin_makes_and_revokes_tokens_on_a_page(serve: Serve, token_of: TokenOf) -> None:
    client = serve(access="token")
    sign_in(client, token_of("Root", Role.ADMIN))
    made = client.post(
        "/admin/tokens",
        data={"name": "Eve <b>", "role": "label", "days": "7", "form_token": form_token(client, "/admin")},
    )
    secret = Page(200, made.text).text("#secret")
    assert made.headers["cache-control"] == "no-store"
    answer = client.get("/admin")
    assert secret not in answer.text, "shown once"
    assert "Eve &lt;b&gt;" in answer.text
    client.cookies.clear()
    assert client.get("/api/v1/dictionaries", headers={"authorization": f"Bearer {secret}"}).status_code == 200


def test_reading_can_be_open_to_all_and_labelling_not(serve: Serve) -> None:
    client = serve(access="token", anonymous="read")
    page = client.get("/dictionaries/tiny")
    assert page.status_code == 200
    assert re.search(r'href="/sign-in"', page.text)
    refused = client.post("/api/v1/dictionaries/tiny/features/3/labels", json={"text": "x", "author": "Eve"})
    assert refused.status_code == 401
