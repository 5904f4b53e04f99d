"""The steering call: its events, and that nothing odd in its body brings out an error of the server's own."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

ADDRESS = "/api/v1/dictionaries/tiny/steer"


def body(**changed: Any) -> dict[str, Any]:
    one = {"index": 3, "strength": 2.0, "mode": "add"}
    return {"prompt": "The match and", "features": [one], "max_new_tokens": 6, "temperature": 0.8, "seed": 1} | changed


def events(text: str) -> list[tuple[str, Any]]:
    found = []
    for block in text.strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines())
        found.append((lines["event"], json.loads(lines["data"])))
    return found


def test_tokens_come_as_events_and_the_summary_last(client: TestClient) -> None:
    answer = client.post(ADDRESS, json=body())
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    *tokens, (kind, summary) = events(answer.text)
    assert kind == "summary"
    assert {kind for kind, _ in tokens} == {"token"}
    for side in ("base", "steered"):
        assert "".join(token["text"] for _, token in tokens if token["side"] == side) == summary[side]
    assert len(summary["kl"]) == sum(token["side"] == "steered" for _, token in tokens)
    assert all(isinstance(value, float) and value >= 0 for value in summary["kl"])
    (strength,) = summary["strengths"]
    assert strength["raw"] == pytest.approx(2 * strength["max_activation"])


def test_strength_0_is_the_base_text_with_no_divergence(client: TestClient) -> None:
    one = {"index": 3, "strength": 0, "mode": "add"}
    _, summary = events(client.post(ADDRESS, json=body(features=[one])).text)[-1]
    assert summary["base"] == summary["steered"]
    assert set(summary["kl"]) <= {0.0}


def test_controls_come_on_request(client: TestClient) -> None:
    _, summary = events(client.post(ADDRESS, json=body(controls=True)).text)[-1]
    assert [text["side"] for text in summary["texts"]] == ["base", "steered", "random_direction", "random_feature"]
    assert summary["control_strengths"][0]["index"] != 3


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"prompt": ""}, "empty"),
        ({"prompt": "   \n"}, "empty"),
        ({"prompt": "\ud800"}, "surrogate"),
        ({"prompt": "match " * 200}, "at most 64"),
        ({"features": []}, "0 features"),
        ({"features": [{"index": 3, "strength": 1}] * 2}, "twice"),
        ({"features": [{"index": n, "strength": 1} for n in range(1000)]}, "features"),
        ({"features": [{"index": 24, "strength": 1}]}, "0 to 23"),
        ({"features": [{"index": 5, "strength": 1}]}, "never fired"),
        ({"features": [{"index": 3, "strength": 1e30}]}, "1000"),
        ({"features": [{"index": 3, "strength": "much"}]}, "strength"),
        ({"features": [{"index": 3, "strength": 1, "mode": "push"}]}, "mode"),
        ({"features": "3"}, "features"),
        ({"max_new_tokens": -1}, "1 to 200"),
        ({"max_new_tokens": 10**9}, "1 to 200"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": 0, "n_samples": 3}, "temperature 0"),
        ({"n_samples": 0}, "samples"),
        ({"seed": -1}, "seed"),
        ({"where": "here"}, "where"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_what_cannot_be_steered_is_said_in_a_sentence(client: TestClient, changed: dict[str, Any], said: str) -> None:
    answer = client.post(ADDRESS, content=json.dumps(body(**changed)), headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    assert client.post(ADDRESS, json=body(max_new_tokens=1)).status_code == 200, "the next one works"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_a_strength_that_is_no_number_is_refused(client: TestClient, number: str) -> None:
    text = json.dumps(body()).replace("2.0", number)
    answer = client.post(ADDRESS, content=text, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert "strength" in answer.json()["detail"]
