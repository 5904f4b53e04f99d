"""Labels pasted in: what would change is shown first, all or nothing, and every bad line is named."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.conftest import Page

WHERE = "/dictionaries/tiny/exchange"
LABELS = "/api/v1/dictionaries/tiny/features/{}/labels"
TWO = "feature,text\n3,rackets\n4,<b>nets</b>\n"


@pytest.fixture
def importer(client: TestClient) -> Iterator[TestClient]:
    """Somebody with a browser of their own; what is imported goes again."""
    yield TestClient(client.app, raise_server_exceptions=False)
    for feature in (3, 4):
        where = LABELS.format(feature)
        for label in client.get(where).json()["labels"]:
            client.delete(f"{where}/{label['id']}?author=test")


def send(client: TestClient, pasted: str, to: str = WHERE, author: str = "Ada") -> Page:
    form = Page(200, client.get(WHERE).text).one("#import input[name=form_token]")
    data = {"form_token": str(form.attributes["value"]), "pasted": pasted, "author": author}
    answer = client.post(to, data=data)
    return Page(answer.status_code, answer.text)


def test_what_would_change_is_shown_before_anything_does(importer: TestClient) -> None:
    page = send(importer, TWO)
    assert page.text("#import .done").startswith("2 labels would be added")
    assert [row.css("td")[2].text() for row in page.all("#import table tr") if row.css("td")] == [
        "rackets",
        "<b>nets</b>",
    ]
    assert importer.get(LABELS.format(3)).json()["labels"] == []

    done = send(importer, page.one("#pasted").text(), f"{WHERE}/apply")
    assert done.text("#import .done").startswith("Done: 2 labels added")
    assert importer.get(LABELS.format(3)).json()["labels"][0]["text"] == "rackets"
    assert send(importer, TWO).text("#import .done").startswith("0 labels would be added")


def test_json_lines_are_known_by_their_brace(importer: TestClient) -> None:
    line = json.dumps({"feature": 3, "text": "rackets", "author": "Eve", "starred_by": ["Ada"]})
    assert "1 star given" in send(importer, f"\r\n{line}\r\n").text("#import .done")


def test_every_bad_line_is_named_and_nothing_is_taken(importer: TestClient) -> None:
    page = send(importer, "feature,text\n3,rackets\n999,far\n4,\n", f"{WHERE}/apply")
    assert page.status == 422
    assert [item.text()[:7] for item in page.all("#import .refused li")] == ["Line 3:", "Line 4:"]
    assert page.one("#pasted").text().startswith("feature,text")
    assert importer.get(LABELS.format(3)).json()["labels"] == []


@pytest.mark.parametrize(
    ("pasted", "author", "says"),
    [(" ", "Ada", "Nothing is pasted"), ("a,b\n1,2\n", "Ada", "no column 'feature'"), (TWO, " ", "who you are")],
)
def test_what_cannot_be_imported_says_why(importer: TestClient, pasted: str, author: str, says: str) -> None:
    page = send(importer, pasted, f"{WHERE}/apply", author)
    assert (page.status, says in page.text("#import .refused")) == (422, True)


def test_a_chosen_file_is_shown_as_if_it_was_pasted(importer: TestClient) -> None:
    form = Page(200, importer.get(WHERE).text).one("#import input[name=form_token]")
    data = {"form_token": str(form.attributes["value"]), "pasted": "", "author": "Ada"}
    for file, status, says in (
        (TWO.encode("utf-8-sig"), 200, "2 labels"),
        (b"feature\n\xe9", 422, "Line 2: is not UTF-8"),
    ):
        answer = importer.post(WHERE, data=data, files={"file": ("labels.csv", file)})
        page = Page(answer.status_code, answer.text)
        assert (page.status, says in page.text("#import .done, #import .refused")) == (status, True)
    nothing = importer.post(WHERE, data=data, files={"file": ("", b"")})
    assert "no file chosen" in Page(nothing.status_code, nothing.text).text("#import .refused")


def test_many_bad_lines_keep_the_page_small(importer: TestClient) -> None:
    page = send(importer, "feature,text\n" + "x,y\n" * 3000)
    assert "3,000 lines cannot be used" in page.text("#import .refused")
    assert page.all("#import .refused li")[-1].text() == "and 2,950 more"


def test_files_lie_one_click_from_the_dictionary(browse: Any, client: TestClient) -> None:
    assert browse("/dictionaries/tiny").all(f"a[href='{WHERE}']")
    links = [str(link.attributes["href"]) for link in browse(WHERE).all("a[download]")]
    assert len(links) == 4
    assert all(client.get(link).status_code == 200 for link in links)


def test_a_reader_takes_files_away_and_brings_none(indexed: Any) -> None:
    with TestClient(create_app(Settings(db=indexed.url, read_only=True))) as reader:
        page = Page(200, reader.get(WHERE).text)
        assert page.all("a[download]")
        assert not page.all("form[method=post]")
        assert reader.post(f"{WHERE}/apply", data={"pasted": TWO}).status_code == 403
