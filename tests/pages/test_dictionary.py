from typing import Any

from tests.tiny import DEAD, N_FEATURES


def rows(page: Any) -> list[int]:
    return [int(node.text(strip=True)) for node in page.all("#features tbody th")]


def test_features_are_listed_by_index(browse: Any) -> None:
    assert rows(browse("/dictionaries/tiny")) == list(range(N_FEATURES))


def test_a_heading_sorts_and_turns_the_order(browse: Any) -> None:
    page = browse("/dictionaries/tiny")
    link = page.one("th.density a").attributes["href"]
    sorted_page = browse(link)
    assert sorted_page.one("th.density").attributes["aria-sort"] == "descending"
    assert rows(sorted_page)[-1] == DEAD
    turned = browse(sorted_page.one("th.density a").attributes["href"])
    assert turned.one("th.density").attributes["aria-sort"] == "ascending"
    assert rows(turned)[0] == DEAD


def test_filters_narrow_the_list_and_stay_in_the_form(browse: Any) -> None:
    page = browse("/dictionaries/tiny?alive=no&q=")
    assert rows(page) == [DEAD]
    assert page.one("select[name=alive] option[selected]").attributes["value"] == "no"
    assert "1 feature of 24" in " ".join(page.one(".tally").text().split())


def test_a_list_says_what_features_are_about_and_is_narrowed_to_it(browse: Any, ask: Any) -> None:
    page = browse("/dictionaries/tiny")
    topic = page.one("#topics option").attributes["value"]
    ordered = browse(page.one("th.about a").attributes["href"])
    _, known = ask("/dictionaries/tiny/features?sort=-topic&limit=200")
    assert rows(ordered) == [feature["index"] for feature in known["features"]]
    own = [feature for feature in known["features"] if feature["topic"] and feature["topic"]["value"] == topic]
    narrowed = browse(f"/dictionaries/tiny?about={topic}&sort=-topic")
    assert rows(narrowed) == [feature["index"] for feature in own]
    assert narrowed.one("input[name=about]").attributes["value"] == topic
    said = [f"{topic} {feature['topic']['n']} of {feature['topic']['of']}" for feature in own]
    assert [" ".join(cell.text().split()) for cell in narrowed.all("td.about")] == said
    assert len(browse(f"/dictionaries/tiny?about={topic}&view=cards").all(".measures .about")) == len(own)
    assert browse("/definitions").all("#about")
    assert "fewer examples" in browse("/dictionaries/tiny?about=nothing").text("#features .notice")


def test_cards_hold_what_the_table_holds(browse: Any) -> None:
    table = browse("/dictionaries/tiny?sort=-density")
    cards = browse(next(a.attributes["href"] for a in table.all(".choices a") if a.text() == "Cards"))
    assert [a.text(strip=True) for a in cards.all(".feature-card .index")] == [
        a.text(strip=True) for a in table.all(".index")
    ]
    assert [s.text() for s in cards.all(".feature-card .sentence")] == [
        s.text() for s in table.all(".example .sentence")
    ]


def test_a_bar_of_the_histogram_lists_the_features_there(browse: Any, ask: Any) -> None:
    _, known = ask("/dictionaries/tiny")
    counts = [n for n in known["density_histogram"]["counts"] if n]
    bars = [
        bar
        for bar in browse("/dictionaries/tiny").all("#density a.bar")
        if not bar.attributes["aria-label"].endswith(": 0 features")
    ]
    assert len(bars) == len(counts)
    for bar, n in zip(bars, counts, strict=True):
        page = browse(bar.attributes["href"])
        assert len(rows(page)) == n
        assert [b.attributes["aria-label"] for b in page.all("#density a.chosen")] == [bar.attributes["aria-label"]]


def test_a_range_upside_down_is_said_and_the_form_kept(browse: Any) -> None:
    page = browse("/dictionaries/tiny?min_density=50&max_density=3")
    assert page.status == 422
    assert "above the highest" in page.text("#features [role=alert]")
    assert page.one("input[name=min_density]").attributes["value"] == "50"
    assert not page.all("#features table")


def test_a_random_feature_is_drawn_from_the_list(client: Any, browse: Any) -> None:
    page = browse("/dictionaries/tiny?min_density=10")
    listed = set(rows(page))
    drawn = set()
    for _ in range(20):
        answer = client.get(page.one("#random").attributes["href"], follow_redirects=False)
        drawn.add(int(answer.headers["location"].split("?")[0].rsplit("/", 1)[1]))
        assert "among=" in answer.headers["location"]
    assert drawn <= listed
    assert len(drawn) > 1
    assert client.get("/dictionaries/tiny/random?q=zzzzz", follow_redirects=False).status_code == 404


def test_densities_are_asked_for_in_per_cent(browse: Any, ask: Any) -> None:
    _, answer = ask("/dictionaries/tiny/features?min_density=0.1&limit=200")
    assert rows(browse("/dictionaries/tiny?min_density=10")) == [f["index"] for f in answer["features"]]
    assert rows(browse("/dictionaries/tiny?min_density=10,0%25")) == [f["index"] for f in answer["features"]]


def test_nothing_found_says_so(browse: Any) -> None:
    page = browse("/dictionaries/tiny?q=zzzzzz")
    assert "No feature matches" in page.text("#features")


def test_a_row_shows_the_strongest_example(browse: Any, ask: Any) -> None:
    _, answer = ask("/dictionaries/tiny/features/3/examples?limit=1")
    peak = answer["examples"][0]["peak"]
    row = browse("/dictionaries/tiny").all("#features tbody tr")[3]
    assert row.css_first(".token.peak").text() == peak["token"]


def test_a_random_feature_fires(client: Any) -> None:
    for _ in range(10):
        answer = client.get("/dictionaries/tiny/random", follow_redirects=False)
        assert answer.status_code == 303
        assert int(answer.headers["location"].rsplit("/", 1)[1]) != DEAD


def test_quality_is_shown_with_what_it_means(browse: Any, ask: Any) -> None:
    _, known = ask("/dictionaries/tiny")
    page = browse("/dictionaries/tiny")
    facts = {n.css_first("summary").text(): n.css_first("dd").text() for n in page.all(".summary .fact")}
    assert facts["Tokens"] == f"{known['n_tokens']:,}"
    assert facts["L0"].startswith(f"{known['quality']['l0']:.1f}")
    assert all(n.css_first("details p").text(strip=True) for n in page.all(".summary .fact"))


def test_a_feature_without_a_label_is_called_by_its_most_telling_tokens(browse: Any, ask: Any) -> None:
    shown = [cell.css(".lone") for cell in browse("/dictionaries/tiny").all("#features td.label")]
    for row, feature in zip(shown, ask("/dictionaries/tiny/features")[1]["features"], strict=True):
        telling = sorted(feature["top_tokens"], key=lambda t: t["share"] * t["own_share"], reverse=True)[:3]
        assert [token.text() for token in row] == [token["token"].replace(" ", "·") for token in telling]


def test_a_density_upside_down_is_said_in_the_unit_that_was_typed(browse: Any) -> None:
    page = browse("/dictionaries/tiny?min_density=50&max_density=3")
    assert (page.status, "50 %, is above the highest, 3 %" in page.text("#features .fault")) == (422, True)


def test_words_that_no_label_or_token_holds_can_be_looked_for_in_examples(browse: Any) -> None:
    link = browse("/dictionaries/tiny?q=two+words").one(".tally a[href^='/search']")
    assert link.attributes["href"] == "/search?q=two+words&dictionary=tiny"


def test_a_filter_that_no_label_and_no_token_has_shows_what_examples_say(browse: Any, ask: Any) -> None:
    page = browse("/dictionaries/tiny?q=court")
    assert page.text(".tally b") == "0"
    hits = ask("/search?q=court&dictionary=tiny&limit=30")[1]["features"]
    assert [int(node.text()) for node in page.all("#features .hits .index")] == [hit["index"] for hit in hits]
    assert hits
    assert browse("/dictionaries/tiny?q=zzzzzzz").all("#features .notice")
    assert browse("/dictionaries/tiny?q=-tennis").all("#features .notice")  # a search would only leave out
