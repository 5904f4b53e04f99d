"""Labels on pages, by forms as a browser without scripts sends them."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborNode

from tests.conftest import Page

FEATURE = "/dictionaries/tiny/features/11"


class Visitor:
    """Somebody with a browser of their own: cookies are kept, redirects followed."""

    def __init__(self, client: TestClient) -> None:
        self.client = TestClient(client.app, raise_server_exceptions=False)

    def get(self, address: str = FEATURE) -> Page:
        answer = self.client.get(address)
        return Page(answer.status_code, answer.text)

    def send(self, form: LexborNode, **typed: str) -> Page:
        """A form as it stands, with what is typed into it."""
        fields = {field.attributes["name"]: field.attributes.get("value") or "" for field in form.css("input[name]")}
        assert set(typed) <= set(fields)
        answer = self.client.post(str(form.attributes["action"]), data={**fields, **typed})
        return Page(answer.status_code, answer.text)


def form(page: Page, ends: str) -> LexborNode:
    found = [
        node for node in page.all("#labels form, .labelling form") if str(node.attributes["action"]).endswith(ends)
    ]
    assert found, f"no form for {ends}"
    return found[0]


@pytest.fixture
def ada(client: TestClient) -> Iterator[Visitor]:
    yield Visitor(client)
    where = f"/api/v1{FEATURE}/labels"
    for label in client.get(where).json()["labels"]:
        client.delete(f"{where}/{label['id']}?author=test")


def test_a_label_becomes_the_name_and_the_author_is_asked_once(ada: Visitor) -> None:
    page = ada.send(form(ada.get(), "/labels"), text="<b>aces</b>", author="Ada")
    assert page.text("#feature-name") == "<b>aces</b>"
    assert page.text("#labels .done").startswith("Added: “<b>aces</b>”")
    assert page.text("#labels .as summary") == "as Ada"
    page = ada.send(form(page, "/labels"), text="serves")
    assert page.status == 200
    assert [node.text() for node in page.all(".labels .text")] == ["serves", "<b>aces</b>"]


def test_undo_of_a_removal_brings_the_label_back(ada: Visitor) -> None:
    page = ada.send(form(ada.get(), "/labels"), text="aces", author="Ada")
    page = ada.send(form(page, "/remove"))
    assert page.text("#feature-name") == ""
    page = ada.send(form(page, "/undo"))
    assert page.text("#feature-name") == "aces"
    history = ada.get(f"{FEATURE}/labels")
    actions = [row.css("td")[2].text() for row in history.all(".labelling tbody tr")]
    assert actions[:3] == ["restored", "removed", "added"]


def test_a_star_makes_the_name(ada: Visitor) -> None:
    ada.send(form(ada.get(), "/labels"), text="first", author="Ada")
    page = ada.send(form(ada.get(), "/labels"), text="second")
    assert page.text("#feature-name") == "second"
    page = ada.send([node for node in page.all("#labels form") if "/star" in str(node.attributes["action"])][1])
    assert page.text("#feature-name") == "first"
    page = ada.send(form(page, "/star"))
    assert page.text("#feature-name") == "second"


def test_a_lost_update_shows_both_texts_and_can_be_sent_again(ada: Visitor, client: TestClient) -> None:
    page = ada.send(form(ada.get(), "/labels"), text="tennis", author="Ada")
    edit = str(page.one("#labels .acts a").attributes["href"])
    mine, bob = ada.get(edit), Visitor(client)
    label = edit.split("edit=")[1].split("#")[0]
    bob.send(form(bob.get(edit), f"/labels/{label}"), text="courts", author="Bob")
    refused = ada.send(form(mine, f"/labels/{label}"), text="serves")
    assert refused.status == 409
    assert [node.text() for node in refused.all(".both dd")] == ["courts", "serves"]
    again = form(refused, f"/labels/{label}")
    assert next(f.attributes["value"] for f in again.css("input") if f.attributes["name"] == "text") == "serves"
    assert ada.send(again).text("#feature-name") == "serves"


@pytest.mark.parametrize(("text", "says"), [(" ", "empty"), ("x" * 600, "500"), ("bell\a", "control character")])
def test_a_refused_label_is_kept_in_its_form(ada: Visitor, text: str, says: str) -> None:
    refused = ada.send(form(ada.get(), "/labels"), text=text, author="Ada")
    assert refused.status == 422
    assert says in refused.text("#labels .refused")
    assert refused.one("#label-new").attributes["value"] == text
    nameless = ada.send(form(ada.get(), "/labels"), text="aces", author=" ")
    assert "who you are" in nameless.text("#labels .refused")


def test_markup_in_a_label_is_text_everywhere(ada: Visitor) -> None:
    ada.send(form(ada.get(), "/labels"), text="<script>x</script> **bold** [a](b)", author="<i>Ada</i>")
    for address in (FEATURE, f"{FEATURE}/labels", "/search?q=bold", "/dictionaries/tiny?labelled=yes"):
        page = ada.get(address)
        assert "<script>x</script> **bold**" in page.text("main"), address
        assert not page.all("main script, main i")


def test_a_reader_sees_labels_and_no_forms(ada: Visitor, indexed: Any) -> None:
    from app.main import create_app
    from app.settings import Settings

    ada.send(form(ada.get(), "/labels"), text="aces", author="Ada")
    with TestClient(create_app(Settings(db=indexed.url, read_only=True))) as reader:
        page = Page(200, reader.get(FEATURE).text)
        assert page.text("#feature-name") == "aces"
        assert not page.all("#labels form, #labels .acts a")
        assert reader.post(f"/api/v1{FEATURE}/labels", json={"text": "x", "author": "Eve"}).status_code == 403
