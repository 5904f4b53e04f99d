from typing import Any


def test_search_finds_features_by_their_examples(browse: Any) -> None:
    page = browse("/search?q=tennis")
    assert page.all(".hits li")
    assert all("tennis" in item.text().lower() for item in page.all(".hits li"))
    assert page.all("mark")


def test_punctuation_is_text(browse: Any) -> None:
    for q in ("%22", "%25", "a+OR+b", "*", "(", "<script>"):
        assert browse(f"/search?q={q}").status == 200


def test_nothing_found_says_so(browse: Any) -> None:
    assert "Nothing holds" in browse("/search?q=zzzzzzz").text("main")
