"""Signing in through OpenID Connect, with a real provider in a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from fastapi.testclient import TestClient

from app.__main__ import main
from app.access.openid import check_openid
from app.errors import Invalid
from app.settings import Settings
from tests.conftest import Page
from tests.server import free_port

Serve = Callable[..., TestClient]
PUBLIC = "http://lens.example"


@pytest.fixture(scope="session")
def issuer() -> Iterator[str]:
    """The provider's address. Ada's address is verified, Eve's is not."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "oidc_provider_mock", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "no_proxy": "*"},
    )
    address = f"http://localhost:{port}"
    try:
        for _ in range(200):
            try:
                httpx.get(f"{address}/.well-known/openid-configuration", timeout=5)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        for name, verified in (("ada", True), ("eve", False)):
            claims = {"email": f"{name}@example.org", "email_verified": verified}
            httpx.put(f"{address}/users/{name}", json=claims).raise_for_status()
        yield address
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def client(serve: Serve, issuer: str) -> TestClient:
    return serve(
        address=PUBLIC,
        access="token",
        public_url=PUBLIC,
        openid_issuer=issuer,
        openid_client="featurescope",
        openid_secret="between-us",
    )


def at_the_provider(address: str, name: str) -> str:
    """What somebody does there: signs in. Gives the address that the browser is led back to."""
    answer = httpx.post(address, data={"sub": name})
    assert answer.status_code in (302, 303), answer.text
    return answer.headers["location"]


def sign_in(client: TestClient, name: str, next: str = "/") -> httpx.Response:
    begun = client.get("/sign-in/openid?" + urlencode({"next": next}))
    assert begun.status_code == 303
    return client.get(at_the_provider(begun.headers["location"], name))


@pytest.mark.slow
def test_somebody_signs_in_and_has_the_role_they_were_given(client: TestClient, database: str) -> None:
    main(["people", "set", "ada@example.org", "--role", "label", "--db", database])
    assert 'href="/sign-in/openid?next=/"' in client.get("/sign-in").text
    answer = sign_in(client, "ada", "/dictionaries/tiny?q=a")
    assert (answer.status_code, answer.headers["location"]) == (303, "/dictionaries/tiny?q=a")
    page = client.get("/dictionaries/tiny")
    assert "ada@example.org" in Page(200, page.text).text("footer")
    labelled = client.post(
        "/api/v1/dictionaries/tiny/features/3/labels",
        json={"text": "serves", "author": "Ada"},
        headers={"sec-fetch-site": "same-origin"},
    )
    assert labelled.status_code == 201


@pytest.mark.slow
def test_the_request_has_pkce_a_state_and_a_nonce(client: TestClient) -> None:
    asked = parse_qs(urlsplit(client.get("/sign-in/openid").headers["location"]).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["response_type"] == ["code"]
    assert asked["redirect_uri"] == [f"{PUBLIC}/sign-in/openid/back"]
    assert len(asked["state"][0]) >= 40
    assert len(asked["nonce"][0]) >= 40


@pytest.mark.slow
def test_nobody_is_signed_in_by_an_answer_that_another_browser_asked_for(client: TestClient, serve: Serve) -> None:
    begun = client.get("/sign-in/openid")
    back = at_the_provider(begun.headers["location"], "ada")
    cookie = client.cookies["featurescope_openid"]
    client.cookies.clear()
    assert client.get(back).status_code == 403, "without the cookie"
    client.get("/sign-in/openid")
    assert client.get(back).status_code == 403, "with the cookie of another attempt"
    client.cookies.clear()
    for forged in (cookie[:-1] + ("0" if cookie[-1] != "0" else "1"), "x." + "0" * 64, "é"):
        assert client.get(back, headers={"cookie": f"featurescope_openid={forged}".encode()}).status_code == 403
    right = {"cookie": f"featurescope_openid={cookie}"}
    wrong_code = back.replace("code=", "code=x")
    assert client.get(wrong_code, headers=right).status_code == 403
    assert "featurescope_session" not in client.cookies
    assert client.get(back, headers=right).status_code == 303
    client.cookies.clear()
    assert client.get(back, headers=right).status_code == 403, "a code is good once"


@pytest.mark.slow
def test_an_address_that_was_not_verified_names_nobody(client: TestClient) -> None:
    refused = sign_in(client, "eve")
    assert (refused.status_code, "not verified" in refused.text) == (403, True)
    assert "featurescope_session" not in client.cookies


@pytest.mark.slow
def test_somebody_who_turns_back_is_told_so(client: TestClient) -> None:
    client.get("/sign-in/openid")
    refused = client.get("/sign-in/openid/back?error=access_denied")
    assert refused.status_code == 403


@pytest.mark.slow
def test_a_provider_that_is_away_is_503_and_tokens_still_work(serve: Serve) -> None:
    client = serve(
        address=PUBLIC,
        access="token",
        public_url=PUBLIC,
        openid_issuer=f"http://localhost:{free_port()}",
        openid_client="featurescope",
        openid_secret="between-us",
    )
    refused = client.get("/sign-in/openid")
    assert (refused.status_code, "sign in with a token" in refused.text) == (503, True)
    assert client.get("/sign-in").status_code == 200


def test_where_there_is_no_provider_there_is_no_way_to_it(serve: Serve) -> None:
    client = serve(access="token")
    assert client.get("/sign-in/openid").status_code == 404
    assert "openid" not in client.get("/sign-in").text


@pytest.mark.parametrize(
    "lacking", [{"access": "proxy"}, {"access": "token"}, {"access": "token", "public_url": PUBLIC}]
)
def test_settings_with_which_nobody_could_sign_in_are_refused(lacking: dict[str, str]) -> None:
    with pytest.raises(Invalid, match=r"OpenID|FEATURESCOPE_OPENID"):
        check_openid(Settings(openid_issuer="https://id.example", **lacking))  # type: ignore[arg-type]


def test_the_secret_is_in_no_text_of_the_settings() -> None:
    assert "between-us" not in repr(Settings(openid_secret="between-us"))
