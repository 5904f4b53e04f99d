"""The attribution page."""

from typing import Any

from fastapi.testclient import TestClient

ADDRESS = "/dictionaries/tiny/attribute?text=The+match+and+the+serve"


def test_contributions_shade_the_text_and_rank_the_features(browse: Any) -> None:
    page = browse(ADDRESS)
    assert "".join(node.text() for node in page.all(".sentence.live .token")) == "The match and the serve"
    rows = page.all("#ranked tbody tr")
    sizes = [abs(float(row.css("td")[0].text().replace("−", "-").replace("\u202f", ""))) for row in rows]
    assert len(rows) > 2
    assert sizes == sorted(sizes, reverse=True)


def test_a_token_can_be_explained_rather_than_another(browse: Any) -> None:
    page = browse(ADDRESS)
    href = page.one(".candidates .acts a + a").attributes["href"]
    against = browse(href)
    assert "rather than" in against.text("#result .why")
    assert against.text("#parts-title").endswith("difference is made of")
    assert "held against" in against.text(".candidates")


def test_one_feature_can_shade_the_text(browse: Any) -> None:
    page = browse(ADDRESS)
    index = page.text("#ranked tbody tr .index")
    shaded = browse(page.one("#ranked .acts a").attributes["href"])
    assert shaded.text("#result .why .index") == index
    assert shaded.text("#ranked tr.followed .index") == index


def test_the_text_ends_at_the_chosen_token(browse: Any) -> None:
    page = browse(f"{ADDRESS}&token=1")
    assert "".join(node.text() for node in page.all(".sentence.live .token")) == "The match"


def test_a_word_of_several_tokens_is_refused_with_its_pieces(client: TestClient) -> None:
    answer = client.get(f"{ADDRESS}&target_word=several+long+words")
    assert answer.status_code == 422
    assert "tokens for" in answer.text
    for odd in ("target=-1", "target=999999", "token=99999", "n=0", "n=100000", "versus=zz"):
        assert client.get(f"{ADDRESS}&{odd}").status_code == 422, odd


def test_another_token_is_explained_at_the_same_place(browse: Any) -> None:
    page = browse(f"{ADDRESS}&token=1&n=3")
    fields = {field.attributes["name"]: field.attributes["value"] for field in page.all("form.live .row input")}
    assert fields == {"target_word": "", "versus_word": "", "token": "1", "n": "3"}
    assert browse(f"{ADDRESS}&token=&n=").text("#result .why") == browse(ADDRESS).text("#result .why")
