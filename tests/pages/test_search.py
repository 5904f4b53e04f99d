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
    n_examples = len(ask(f"/dictionaries/tiny/features/{index}/examples")[1]["examples"])
    assert f"of its {n_examples} strongest examples" in hit.css_first("span.quiet").text()


def test_a_hit_by_metadata_shows_where_the_feature_fires(browse: Any, ask: Any) -> None:
    hit = browse("/search?q=tennis&kind=metadata").all(".hits li")[0]
    index, number = (hit.css_first(one).attributes["href"].split("/")[-1] for one in (".feature", ".sentence a"))
    examples = ask(f"/dictionaries/tiny/features/{index}/examples")[1]["examples"]
    example = next(one for one in examples if f"{one['sentence']}?feature={index}" == number)
    assert hit.css_first(".token.peak").text() == example["peak"]["token"]


def test_words_that_nothing_has_together_are_offered_one_by_one(browse: Any, ask: Any) -> None:
    page = browse("/search?q=a+feature+zzzzzzz+tennis&dictionary=tiny")
    offered = {link.attributes["href"]: link for link in page.all("#results .facets a")}
    assert "/search?q=tennis&dictionary=tiny" in offered
    total = ask("/search?q=tennis&dictionary=tiny")[1]["total"]
    assert offered["/search?q=tennis&dictionary=tiny"].text().split() == ["tennis", f"{total}"]
    assert not any("zzzzzzz" in (href or "") for href in offered)


def test_a_sentence_that_was_found_leads_to_what_else_fires_on_it(browse: Any) -> None:
    for kind in ("text", "metadata"):
        hit = browse(f"/search?q=tennis&kind={kind}").all(".hits li")[0]
        page = browse(hit.css_first(".sentence a").attributes["href"])
        assert hit.css_first(".index").text() in [row.css_first(".index").text() for row in page.all("tr[data-row]")]


def test_words_of_no_label_and_no_token_say_how_their_features_are_ordered(browse: Any, ask: Any) -> None:
    said = set()
    for q in ("the", "tennis", "of+kitchen", "emoji", "zzzzzzz"):
        kinds = ask(f"/search?q={q}")[1]["facets"]["kinds"].keys()
        by_examples = bool(kinds) and not kinds & {"label", "token"}
        assert bool(browse(f"/search?q={q}").all("#results .why")) == by_examples
        said.add(by_examples)
    assert said == {True, False}


def test_a_search_in_one_dictionary_leads_to_finding_by_examples(browse: Any) -> None:
    assert browse("/search").all("a[href='/dictionaries/tiny/find']")


def test_words_that_cannot_be_searched_for_are_said_beside_the_form(browse: Any) -> None:
    for q in ("-tennis", "%00", "+".join(["a"] * 40)):
        page = browse(f"/search?q={q}")
        assert page.status == 422
        assert "search" in page.text("#results [role=alert]").lower()
        assert page.one("main input[name=q]").attributes["value"] is not None
