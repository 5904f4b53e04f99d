"""The steering page, whole and streamed."""

from typing import Any

from fastapi.testclient import TestClient

ADDRESS = "/dictionaries/tiny/steer?prompt=The+match&feature=3&strength=2&mode=add&max_new_tokens=5&temperature=0.9"


def test_without_a_run_the_form_is_filled_from_the_address(browse: Any) -> None:
    page = browse(ADDRESS)
    assert page.one("#prompt").text() == "The match"
    assert page.one("input[name=feature]").attributes["value"] == "3"
    assert not page.all(".written")


def test_both_texts_stand_side_by_side_with_their_divergence(browse: Any) -> None:
    page = browse(f"{ADDRESS}&run=whole")
    base, steered = page.all(".written section")
    assert base.css_first(".prompt").text() == steered.css_first(".prompt").text() == "The match"
    assert base.css("[data-activation]") == []
    assert len(steered.css("[data-activation]")) == len(steered.css(".token"))
    assert page.all(".changed tbody tr, .changed tr th[scope=row]")
    assert "×" in page.text(".pushed td:last-child")


def test_controls_and_samples_are_pairs_of_their_own(browse: Any) -> None:
    page = browse(f"{ADDRESS}&run=whole&n_samples=2&controls=on")
    sides = [section.attributes["data-side"] for section in page.all(".written section")]
    assert sides == ["base", "steered", "base", "steered", "random_direction", "random_feature"]


def test_a_streaming_page_names_a_place_for_every_event(browse: Any, client: TestClient) -> None:
    page = browse(f"{ADDRESS}&run=stream&controls=on")
    places = {node.attributes["sse-swap"] for node in page.all("[sse-swap]")}
    address = page.one("[sse-connect]").attributes["sse-connect"]
    answer = client.get(address)
    assert answer.headers["content-type"].startswith("text/event-stream")
    named = {line.removeprefix("event: ") for line in answer.text.splitlines() if line.startswith("event: ")}
    assert {"base-0", "steered-0", "random_direction-0", "random_feature-0", "outcome"} <= named <= places | {"end"}
    assert page.one("[sse-close]").attributes["sse-close"] == "end"


def test_a_browser_that_connects_again_is_told_to_stop(client: TestClient) -> None:
    address = ADDRESS.replace("/steer?", "/steer/events?")
    assert client.get(address, headers={"last-event-id": "1"}).status_code == 204


def test_what_cannot_be_steered_is_a_page_that_says_so(client: TestClient) -> None:
    for wrong, said in (("feature=x", "no number"), ("feature=3&strength=nan", "strength"), ("feature=999", "0 to 23")):
        answer = client.get(f"/dictionaries/tiny/steer?prompt=a&{wrong}&run=whole")
        assert (answer.status_code, said in answer.text) == (422, True), wrong
