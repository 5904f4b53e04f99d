from typing import Any

import pytest

from tests.tiny import DEAD, N_FEATURES


def test_its_strongest_features_are_those_that_show_it(browse: Any, ask: Any) -> None:
    peaks = {}
    for index in range(N_FEATURES):
        _, answer = ask(f"/dictionaries/tiny/features/{index}/examples?limit=200")
        peaks.update((index, e["peak"]["activation"]) for e in answer["examples"] if e["sentence"] == 3)
    page = browse("/dictionaries/tiny/sentences/3")
    shown = {int(row.css_first(".index").text()): float(row.css("td")[1].text()) for row in page.all("tr[data-row]")}
    assert shown == {index: pytest.approx(peak, rel=0.01) for index, peak in peaks.items()}
    assert list(shown.values()) == sorted(shown.values(), reverse=True)


def test_the_heat_is_that_of_the_feature_chosen(browse: Any, ask: Any) -> None:
    page = browse("/dictionaries/tiny/sentences/3")
    chosen = page.all("tr[data-row] td a")[-1].attributes["href"]
    index = int(chosen.split("feature=")[1].split("#")[0])
    _, answer = ask(f"/dictionaries/tiny/features/{index}/examples?limit=200")
    example = next(e for e in answer["examples"] if e["sentence"] == 3)
    page = browse(chosen)
    assert page.one("#text .sentence").text() == example["text"]
    fires = [token["text"] for token in example["tokens"] if token["activation"] > 0 and token["text"]]
    assert [token.text() for token in page.all("#text .token")] == fires
    assert page.text("#text .why .index") == str(index)


def test_an_example_of_a_feature_leads_to_its_sentence(browse: Any) -> None:
    for group in ("top", "interval-5", "silent"):
        link = browse(f"/dictionaries/tiny/features/3?group={group}").one(".examples .value").attributes["href"]
        page = browse(link)
        assert page.status == 200
        assert page.text("#text .why .index") == "3"


def test_what_is_not_kept_is_said(browse: Any, ask: Any) -> None:
    assert "keeps no sentence" in browse("/dictionaries/tiny/sentences/99999").text("main")
    assert browse("/dictionaries/tiny/sentences/3?feature=99999").status == 404
    _, answer = ask(f"/dictionaries/tiny/features/{DEAD}/examples?group=silent")
    kept = {example["sentence"] for example in answer["examples"]}
    other = next(number for number in range(20) if number not in kept)
    assert "none of the examples" in browse(f"/dictionaries/tiny/sentences/{other}?feature={DEAD}").text("main")


def test_its_neighbours_pass_over_repeats(browse: Any) -> None:
    seen, link = 0, "/dictionaries/tiny/sentences/0"
    while link:
        page = browse(link)
        assert page.status == 200
        seen += 1
        following = page.all("a[rel=next]")
        link = following[0].attributes["href"] if following else ""
    assert seen > 40
