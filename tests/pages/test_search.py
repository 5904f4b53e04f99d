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


def test_a_hit_says_what_the_feature_is_called_and_how_it_was_found(browse: Any, ask: Any) -> None:
    hit = browse("/search?q=tennis&kind=text").all(".hits li")[0]
    index = hit.css_first(".index").text()
    feature = ask(f"/dictionaries/tiny/features/{index}")[1]
    tokens = {token["token"].replace(" ", "·") for token in feature["top_tokens"]}
    assert {token.text() for token in hit.css(".lone")} <= tokens
    assert "of its strongest examples" in hit.css_first("span.quiet").text()


def test_a_search_in_one_dictionary_leads_to_finding_by_examples(browse: Any) -> None:
    assert browse("/search").all("a[href='/dictionaries/tiny/find']")
