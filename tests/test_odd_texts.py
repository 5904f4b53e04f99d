"""Odd texts: a special token is text like any other; NUL and half a surrogate pair are refused, and the text named."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi.testclient import TestClient

API = "/api/v1/dictionaries/tiny"
PAGES = "/dictionaries/tiny"
ONE = {"features": [{"index": 3, "strength": 1}], "max_new_tokens": 2}
CALLS: dict[str, Callable[[str], dict[str, Any]]] = {
    "activations": lambda text: {"texts": ["rain", text]},
    "next-tokens": lambda text: {"text": text, "position": 0},
    "attribute": lambda text: {"text": text, "n": 2},
    "find": lambda text: {"with": ["rain"], "without": ["wind", text]},
    "steer": lambda text: {"prompt": text, **ONE},
}
SHOWN: dict[str, Callable[[str], dict[str, Any]]] = {
    "live": lambda text: {"text": text},
    "attribute": lambda text: {"text": text, "n": 2},
    "find": lambda text: {"having": text, "lacking": "rain"},
    "steer": lambda text: {"prompt": text, "feature": 3, "max_new_tokens": 2, "run": "whole"},
    "features/3/try": lambda text: {"text": text},
}
SPECIAL = "<bos><bos>"  # a corpus takes a typed special token as plain text too
TOKEN = ".sentence.live .token"


def called(client: TestClient, call: str, text: str) -> Any:
    """Sent as json.dumps writes it: half a surrogate pair as an escape, which JSON allows."""
    body = json.dumps(CALLS[call](text))
    return client.post(f"{API}/{call}", content=body, headers={"content-type": "application/json"})


def shown(page: str, text: str) -> str:
    return f"{PAGES}/{page}?" + urlencode(SHOWN[page](text))


def test_the_calls_take_a_typed_special_token_as_text(client: TestClient) -> None:
    activations, following, attributed, found, steered = (called(client, call, SPECIAL) for call in CALLS)
    tokens = activations.json()["results"][1]["tokens"]
    assert [token["start"] for token in tokens] == [0, *(token["end"] for token in tokens[:-1])]
    assert [token["text"] for token in tokens] == [SPECIAL[token["start"] : token["end"]] for token in tokens]
    assert tokens[-1]["end"] == len(SPECIAL)
    assert len(tokens) > 2
    assert following.json()["next"]
    assert attributed.json()["tokens"] == [token["text"] for token in tokens]
    assert found.json()["n_without"] == 2
    assert "event: summary" in steered.text


def test_the_pages_show_a_typed_special_token_as_text(browse: Any) -> None:
    pages = {page: browse(shown(page, SPECIAL)) for page in SHOWN}
    assert {page.status for page in pages.values()} == {200}
    for page in ("live", "attribute"):
        assert "".join(node.text() for node in pages[page].all(TOKEN)) == SPECIAL
    assert pages["find"].all("#result tbody tr")
    assert [node.text() for node in pages["steer"].all(".written .prompt")] == [SPECIAL] * 2
    assert pages["features/3/try"].text("#try-it .sentence") == SPECIAL


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("text", "named", "said"), [("a\0b", r"'a\x00b'", "NUL"), ("\ud83c b", r"'\ud83c b'", "pair")])
def test_what_no_text_may_hold_is_refused_with_the_text(
    client: TestClient, call: str, text: str, named: str, said: str
) -> None:
    answer = called(client, call, text)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert named in answer.json()["detail"]
    assert said in answer.json()["detail"]


@pytest.mark.parametrize("page", SHOWN)
def test_a_page_refuses_nul_beside_the_form(browse: Any, page: str) -> None:
    found = browse(shown(page, "a\0b"))
    assert found.status == 422
    assert r"'a\x00b' holds the character NUL" in found.text("main [role=alert]")
    assert found.all("main form textarea")


def test_what_is_no_utf_8_in_an_address_is_shown_as_replaced(browse: Any) -> None:
    """Half a surrogate pair among them: an address holds bytes, and these are no character's."""
    page = browse(f"{PAGES}/live?text=a%ED%A0%80b")
    assert "".join(node.text() for node in page.all(TOKEN)) == page.one("#text").text() == "a\ufffd\ufffd\ufffdb"
