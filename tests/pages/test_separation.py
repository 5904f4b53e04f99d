"""The page that finds features by examples."""

from typing import Any
from urllib.parse import urlencode

from fastapi.testclient import TestClient

HAVING = "The match and the serve.\nThe court and the racket.\n\nThe set and the player."
LACKING = "The onion and the pan.\nThe rain and the cloud."


def test_features_come_by_auc_with_what_it_rests_on(browse: Any) -> None:
    page = browse("/dictionaries/tiny/find?" + urlencode({"having": HAVING, "lacking": LACKING}))
    scores = [float(row.css("td")[0].text()) for row in page.all("#result tbody tr")]
    assert scores
    assert scores == sorted(scores, reverse=True)
    assert "3 texts with and 2 without" in page.text("#result .why")
    assert "By chance alone" in page.text("#result .why")


def test_too_many_texts_are_refused_with_the_limit(client: TestClient) -> None:
    many = urlencode({"having": "a\n" * 100, "lacking": "b"})
    answer = client.get(f"/dictionaries/tiny/find?{many}")
    assert answer.status_code == 422
    assert "max_texts" in answer.text


def test_the_call_takes_lists_and_needs_both(client: TestClient) -> None:
    address = "/api/v1/dictionaries/tiny/find"
    answer = client.post(address, json={"with": HAVING.splitlines()[:2], "without": LACKING.splitlines(), "limit": 3})
    assert answer.status_code == 200
    assert (answer.json()["n_with"], answer.json()["n_without"]) == (2, 2)
    assert len(answer.json()["features"]) == 3
    for body in ({"with": ["a"], "without": []}, {"with": ["a"]}, {"with": "a", "without": ["b"]}, {"with": [""]}):
        assert client.post(address, json=body).status_code == 422
