"""What others frame or paste: the embedded page, and the texts to copy."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.domain import Example, Group
from app.pages.copying import quoted

FEATURE = "/dictionaries/tiny/features/3"


def test_only_the_embedded_page_may_be_framed(client: TestClient) -> None:
    framed = client.get(f"/embed{FEATURE}")
    assert "frame-ancestors *" in framed.headers["content-security-policy"]
    assert framed.headers.get("x-frame-options", "") == ""
    assert "frame-ancestors 'none'" in client.get(FEATURE).headers["content-security-policy"]


@pytest.mark.parametrize("theme", ["", "light", "dark"])
def test_an_embedded_feature_shows_its_examples_in_the_theme_asked_for(browse: Any, theme: str) -> None:
    page = browse(f"/embed{FEATURE}?n=2&theme={theme}")
    assert page.one("html").attributes.get("data-theme", "") == theme
    assert len(page.all("li .token.peak")) == 2
    assert not page.all("form, nav, header")
    assert page.one("h1 a").attributes["href"] == FEATURE


def test_odd_embeds_are_refused(client: TestClient) -> None:
    for query in ("theme=pink", "n=1000", "group=best"):
        assert client.get(f"/embed{FEATURE}?{query}").status_code == 422
    assert client.get("/embed/dictionaries/tiny/features/99").status_code == 404


def test_what_can_be_copied_leads_back(browse: Any) -> None:
    page = browse(f"{FEATURE}/copy")
    texts = {str(area.attributes["id"]): area.text() for area in page.all("textarea")}
    link = texts["copy-link"]
    assert link.endswith(FEATURE)
    assert json.loads(texts["copy-json"])["link"] == link
    assert f"]({link})" in texts["copy-markdown"]
    assert f'src="{link.replace("/dictionaries", "/embed/dictionaries")}"' in texts["copy-embed"]
    compile(texts["copy-jupyter"], "cell", "exec")


def test_markdown_of_a_sentence_is_no_markup(browse: Any) -> None:
    pages = [browse(f"/dictionaries/tiny/features/{i}/copy") for i in range(24)]
    lines = [line for page in pages for line in page.one("#copy-markdown").text().splitlines()]
    assert any("\\<script\\>" in line.replace("**", "") for line in lines)
    assert not any("<script>" in line for line in lines)


def test_a_feature_is_downloaded_as_json(client: TestClient) -> None:
    answer = client.get(f"/api/v1{FEATURE}?download=true")
    assert answer.headers["content-disposition"] == 'attachment; filename="tiny-3.json"'
    assert answer.json()["index"] == 3


def test_markdown_escapes_what_would_be_markup_and_nothing_else() -> None:
    sentence = "1. It's *all* over (really)!"
    example = Example(Group.SILENT, 0, 0, sentence, None, [len(sentence)], {}, {}, 0)
    assert quoted(example) == "\\1. It's \\*all\\* over (really)!"
