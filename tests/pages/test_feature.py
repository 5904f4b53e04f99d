from typing import Any

import pytest

from tests.tiny import DEAD, N_FEATURES


def test_peak_token_is_marked_and_its_value_can_be_read(browse: Any, ask: Any) -> None:
    _, answer = ask("/dictionaries/tiny/features/3/examples?limit=10")
    shown = browse("/dictionaries/tiny/features/3?view=full").all(".examples li")
    assert len(shown) == len(answer["examples"])
    for item, example in zip(shown, answer["examples"], strict=True):
        peak = item.css_first(".token.peak")
        assert peak.text().startswith(example["peak"]["token"])  # a piece of a character shows the whole of it
        assert float(peak.attributes["data-activation"]) == pytest.approx(example["peak"]["activation"], rel=0.01)
        assert item.css_first(".sentence").text() == example["text"]


def test_more_examples_follow_on_further_pages(browse: Any, ask: Any) -> None:
    _, answer = ask("/dictionaries/tiny/features/3/examples")
    page = browse("/dictionaries/tiny/features/3?view=full")
    shown = page.all(".examples li")
    while page.all("a[rel=next][hx-get]"):
        page = browse(page.one(".pager a[rel=next]").attributes["href"])
        assert page.all("#examples .why a"), "a way back to the first"
        shown += page.all(".examples li")
    assert [item.attributes["id"] for item in shown] == [f"sentence-{e['sentence']}" for e in answer["examples"]]


def test_full_heat_is_the_features_or_the_sentences_and_said(browse: Any, ask: Any) -> None:
    _, answer = ask("/dictionaries/tiny/features/3/examples?limit=10")
    by_feature, by_sentence = (
        browse("/dictionaries/tiny/features/3"),
        browse("/dictionaries/tiny/features/3?heat=sentence"),
    )
    assert "the feature’s maximum" in by_feature.text("#examples .why")
    assert "each sentence’s own peak" in by_sentence.text("#examples .why")
    assert {p.attributes["class"] for p in by_sentence.all(".token.peak")} == {"token heat-10 peak"}
    top = max(e["peak"]["activation"] for e in answer["examples"])
    for peak, example in zip(by_feature.all(".token.peak"), answer["examples"], strict=False):
        level = int(peak.attributes["class"].split()[1].removeprefix("heat-"))
        assert level == pytest.approx(10 * example["peak"]["activation"] / top, abs=1)


def test_on_lines_the_peak_begins_the_right_half(browse: Any) -> None:
    page = browse("/dictionaries/tiny/features/3?view=line")
    for right in page.all(".examples .line .right"):
        assert "peak" in right.css_first(".token").attributes["class"]
    assert not any("\n" in line.text() for line in page.all(".examples .line"))


def test_spaces_are_shown_as_signs_when_asked(browse: Any) -> None:
    plain, signs = browse("/dictionaries/tiny/features/3"), browse("/dictionaries/tiny/features/3?spaces=shown")
    assert "·" not in plain.text(".examples")
    assert plain.one(".sentence").text().replace(" ", "·\u200b") == signs.one(".sentence").text()


def test_a_link_of_the_page_keeps_how_it_is_looked_at(browse: Any) -> None:
    page = browse("/dictionaries/tiny/features/3?view=full&heat=sentence")
    for link in [a.attributes["href"] for a in page.all(".tabs a, a[rel=prev], .looks a[aria-current]")]:
        assert "view=full" in link
        assert "heat=sentence" in link


def test_markup_in_a_sentence_is_text(browse: Any) -> None:

    pages = [
        browse(f"/dictionaries/tiny/features/{i}?view=full&group={g}") for i in range(N_FEATURES) for g in ("top",)
    ]
    assert any("<script>alert" in "".join(n.text() for n in page.all(".sentence")) for page in pages)
    assert not any(page.all(".sentence script, .sentence b") for page in pages)


def test_groups_are_links_with_their_counts(browse: Any, ask: Any) -> None:
    page = browse("/dictionaries/tiny/features/3")
    tabs = {a.text(strip=True): a.attributes["href"] for a in page.all(".tabs a")}
    assert any(name.startswith("Strongest") for name in tabs)
    silent = next(href for name, href in tabs.items() if name.startswith("Silent"))
    page = browse(silent)
    assert not page.all(".examples .token[data-activation]")
    _, answer = ask("/dictionaries/tiny/features/3/examples?group=silent")
    assert len(page.all(".examples li")) == answer["total"]


def test_numbers_agree_with_the_api(browse: Any, ask: Any) -> None:
    _, feature = ask("/dictionaries/tiny/features/3")
    lead = " ".join(browse("/dictionaries/tiny/features/3").text(".lead").split())
    assert f"({feature['n_active_tokens']:,} of {feature['n_tokens']:,})" in lead
    assert len(browse("/dictionaries/tiny/features/3").all("#activations .bar")) == len(feature["histogram"]["counts"])


def test_the_fifths_are_links_with_their_share_of_its_firing(browse: Any, ask: Any) -> None:
    page = browse("/dictionaries/tiny/features/3")
    by_strength = next(a for a in page.all(".tabs a") if a.text().startswith("By strength"))
    page = browse(by_strength.attributes["href"])
    fifths = page.all(".intervals a")
    assert len(fifths) == 5
    shares = [float(f.css_first(".n").text(deep=False).rstrip("%\u202f")) for f in fifths]
    assert sum(shares) == pytest.approx(100, abs=2)
    for link in [f.attributes["href"] for f in fifths]:
        group = link.rsplit("group=", 1)[1]
        _, answer = ask(f"/dictionaries/tiny/features/3/examples?group={group}")
        assert len(browse(link).all(".examples li")) == answer["total"]


def test_bars_on_a_log_scale_keep_their_numbers(browse: Any) -> None:
    linear, log = browse("/dictionaries/tiny/features/3"), browse("/dictionaries/tiny/features/3?bars=log")
    said = [bar.attributes["aria-label"] for bar in linear.all("#activations .bar")]
    assert said == [bar.attributes["aria-label"] for bar in log.all("#activations .bar")]
    heights = [
        [float(rect.attributes["height"]) for rect in page.all("#activations .bar rect + rect")]
        for page in (linear, log)
    ]
    assert all(low <= high for low, high in zip(*heights, strict=True))
    assert heights[0] != heights[1]
    assert [row.text(strip=True) for row in linear.all("#activations .numbers tbody th")] == [
        text.split(":")[0] for text in said
    ]


def test_every_number_has_its_definition_beside_it(browse: Any) -> None:
    page = browse("/dictionaries/tiny/features/3")
    for fact in page.all("aside .fact"):
        assert fact.css_first("details .said").text(strip=True)


def test_a_feature_that_never_fired_says_what_is_known(browse: Any) -> None:
    page = browse(f"/dictionaries/tiny/features/{DEAD}")
    assert "Active on 0 of" in page.text(".lead")
    assert "95" in page.text(".lead")


def test_neighbours_are_links(browse: Any, ask: Any) -> None:
    _, feature = ask("/dictionaries/tiny/features/3")
    links = [a.attributes["href"] for a in browse("/dictionaries/tiny/features/3").all("aside a.feature")]
    assert f"/dictionaries/tiny/features/{feature['neighbors']['similar'][0]['index']}" in links


def test_neighbours_go_by_their_tokens_where_they_have_no_label(browse: Any, ask: Any) -> None:
    links = browse("/dictionaries/tiny/features/3").all("aside a.feature")
    assert links
    for link in links:
        _, other = ask(f"/dictionaries/tiny/features/{link.css_first('.index').text()}")
        assert other["label"] is None
        named = [token.text() for token in link.css(".tokens .lone")]
        tokens = {token["token"].replace(" ", "·") for token in other["top_tokens"]}
        assert named or not tokens, "a name"
        assert set(named) <= tokens


def test_metadata_is_held_against_the_corpus(browse: Any, ask: Any) -> None:
    _, feature = ask("/dictionaries/tiny/features/3")
    table = next(t for t in browse("/dictionaries/tiny/features/3").all("table.shares") if "in the corpus" in t.text())
    shown = {row.css_first("th").text(): [cell.text() for cell in row.css("td")[1:]] for row in table.css("tr")}
    assert list(shown) == [row["value"] for row in feature["metadata"]]
    for row in feature["metadata"]:
        share, lift = shown[row["value"]]
        assert float(share.rstrip("%\u202f")) == pytest.approx(100 * row["share"], abs=0.5)
        assert float(lift.lstrip("×")) == pytest.approx(row["lift"], rel=0.01)


def test_tokens_show_what_share_of_their_own_occurrences_fires(browse: Any, ask: Any) -> None:
    _, feature = ask("/dictionaries/tiny/features/3")
    table = next(t for t in browse("/dictionaries/tiny/features/3").all("table.shares") if "of the token" in t.text())
    shown = [float(row.css("td")[2].text().strip("<>%\u202f")) for row in table.css("tbody tr")]
    assert shown == [pytest.approx(100 * token["own_share"], abs=0.5) for token in feature["top_tokens"]]


def test_previous_and_next(browse: Any) -> None:
    page = browse("/dictionaries/tiny/features/0")
    assert not page.all("a[rel=prev]")
    assert page.one("a[rel=next]").attributes["href"].endswith("/features/1")


def test_previous_and_next_follow_the_list_that_it_was_opened_from(browse: Any) -> None:
    page = browse("/dictionaries/tiny?sort=-density&alive=yes")
    links = [a.attributes["href"] for a in page.all("#features a.feature")]
    order = [int(a.text(strip=True)) for a in page.all("#features a.feature")]
    first = browse(links[0])
    assert not first.all("a[rel=prev]")
    assert first.one(".crumbs a").attributes["href"] == "/dictionaries/tiny?alive=yes&sort=-density"
    for place, link in enumerate(links[1:-1], 1):
        page = browse(link)
        before, after = page.one("nav a[rel=prev]"), page.one("nav a[rel=next]")
        assert [before.text(strip=True).strip("← "), after.text(strip=True).strip("→ ")] == [
            str(order[place - 1]),
            str(order[place + 1]),
        ]
        assert "among=" in after.attributes["href"]
    assert not browse(links[-1]).all("nav a[rel=next]")


def test_a_list_that_cannot_be_read_is_refused(browse: Any) -> None:
    for among in ("sort=nonsense", "nonsense=1", "alive=perhaps"):
        assert browse(f"/dictionaries/tiny/features/3?among={among.replace('=', '%3D')}").status == 422


def test_what_many_of_the_strongest_examples_share_is_said(browse: Any) -> None:
    said = 0
    for index in range(24):
        page = browse(f"/dictionaries/tiny/features/{index}")
        topics = [meta.text() for meta in page.all("#examples .meta b")]
        for link in page.all("#examples .why a[href*='kind=metadata']"):
            n, of = page.text("#examples .why b").split(" of ")
            assert topics.count(link.text()) == int(n) >= int(of) / 4
            assert len(page.all("#examples .examples > li")) == int(of)
            said += 1
    assert said
