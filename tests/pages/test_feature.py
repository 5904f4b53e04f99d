from typing import Any

import pytest

from tests.tiny import DEAD, N_FEATURES


def test_peak_token_is_marked_and_its_value_can_be_read(browse: Any, ask: Any) -> None:
    _, answer = ask("/dictionaries/tiny/features/3/examples")
    page = browse("/dictionaries/tiny/features/3?view=full")
    shown = page.all(".examples li")
    assert len(shown) == len(answer["examples"])
    for item, example in zip(shown, answer["examples"], strict=True):
        peak = item.css_first(".token.peak")
        assert float(peak.attributes["data-activation"]) == pytest.approx(example["peak"]["activation"], rel=0.01)
        assert "".join(node.text() for node in item.css(".token")) == example["text"]


def test_markup_in_a_sentence_is_text(browse: Any) -> None:

    pages = [
        browse(f"/dictionaries/tiny/features/{i}?view=full&group={g}") for i in range(N_FEATURES) for g in ("top",)
    ]
    assert any("<script>alert" in "".join(n.text() for n in page.all(".token")) for page in pages)
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
    assert len(browse("/dictionaries/tiny/features/3").all("figure.chart .bar")) == len(feature["histogram"]["counts"])


def test_a_feature_that_never_fired_says_what_is_known(browse: Any) -> None:
    page = browse(f"/dictionaries/tiny/features/{DEAD}")
    assert "Active on 0 of" in page.text(".lead")
    assert "95" in page.text(".lead")


def test_neighbours_are_links(browse: Any, ask: Any) -> None:
    _, feature = ask("/dictionaries/tiny/features/3")
    links = [a.attributes["href"] for a in browse("/dictionaries/tiny/features/3").all("aside a.feature")]
    assert f"/dictionaries/tiny/features/{feature['neighbors']['similar'][0]['index']}" in links


def test_metadata_shares_are_over_the_top_examples(browse: Any) -> None:
    page = browse("/dictionaries/tiny/features/3?view=full")
    topics = [b.text() for item in page.all(".examples li") for b in item.css(".meta span") if "topic" in b.text()]
    caption = next(t for t in page.all("table.shares") if "strongest examples" in t.text())
    shares = {row.css_first("th").text(): row.css("td")[1].text() for row in caption.css("tr")}
    first, text = next(iter(shares.items()))
    share = sum(first in topic for topic in topics) / len(topics)
    assert float(text.rstrip("%\u202f")) == pytest.approx(100 * share, abs=0.5)


def test_previous_and_next(browse: Any) -> None:
    page = browse("/dictionaries/tiny/features/0")
    assert not page.all("a[rel=prev]")
    assert page.one("a[rel=next]").attributes["href"].endswith("/features/1")
