"""The activations call: rankings, percentiles, limits; and what comes next in a text."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.api.schemas.activations import Activations
from app.main import create_app
from app.settings import Settings
from tests.conftest import Indexed

ADDRESS = "/api/v1/dictionaries/tiny/activations"
TEXT = "The match and the serve of tennis."


def run(client: TestClient, **changed: Any) -> Any:
    answer = client.post(ADDRESS, json={"texts": [TEXT]} | changed)
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


@pytest.mark.parametrize(("rank_by", "field"), [("max", "max_activation"), ("sum", "sum")])
def test_features_of_the_text_come_in_the_order_asked_for(client: TestClient, rank_by: str, field: str) -> None:
    (text,) = run(client, rank_by=rank_by)
    values = [feature[field] for feature in text["features"]]
    assert values
    assert values == sorted(values, reverse=True)


def test_the_most_unusual_come_first_by_rarity(client: TestClient) -> None:
    (text,) = run(client, rank_by="rarity")
    as_strong = [max(1, feature["n_as_strong"]) for feature in text["features"]]
    assert as_strong == sorted(as_strong)


def test_a_feature_at_its_maximum_has_the_hundredth_percentile(client: TestClient, ask: Any) -> None:
    _, found = ask("/dictionaries/tiny/features/3/examples?limit=1")
    (text,) = run(client, texts=[found["examples"][0]["text"]], features=[3])
    peak = max((token["features"][0] for token in text["tokens"]), key=lambda at: at["activation"])
    assert peak["percentile"] == pytest.approx(100, abs=0.5)


def test_too_many_texts_are_refused_with_the_limit(indexed: Indexed) -> None:
    with TestClient(create_app(Settings(db=indexed.url, max_texts=2))) as client:
        answer = client.post(ADDRESS, json={"texts": ["a", "b", "c"]})
        assert answer.status_code == 422
        assert "max_texts" in answer.json()["detail"]


def test_next_tokens_are_probabilities_after_the_chosen_token(client: TestClient) -> None:
    address = "/api/v1/dictionaries/tiny/next-tokens"
    answer = client.post(address, json={"text": TEXT, "position": 2, "top_k": 100})
    shares = [token["probability"] for token in answer.json()["next"]]
    assert len(shares) == 100
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 1.001
    beyond = client.post(address, json={"text": TEXT, "position": 999})
    assert beyond.status_code == 422
    assert "999" in beyond.json()["detail"]


def test_a_full_queue_is_answered_at_once_with_when_to_come_back(indexed: Indexed) -> None:
    with TestClient(create_app(Settings(db=indexed.url, max_waiting=1))) as client:
        door = client.app.state.runtime.door  # type: ignore[attr-defined]  # a FastAPI, not any ASGI app
        with door.admit():
            answer = client.post(ADDRESS, json={"texts": ["a"]})
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert "max_waiting" in answer.json()["detail"]
        assert door.n_inside == 0


def test_an_answer_is_as_its_description_says(client: TestClient) -> None:
    for asked in ({"texts": [TEXT, "rain"]}, {"texts": [TEXT], "features": [3, 7]}, {"texts": [TEXT], "features": []}):
        answer = client.post(ADDRESS, json=asked)
        found = Activations.model_validate_json(answer.content)
        assert found.model_dump(mode="json") == answer.json()
