"""Every call of the API, and its errors."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.tiny import DEAD, HOOK, N_FEATURES


def test_dictionaries(ask: Any) -> None:
    status, answer = ask("/dictionaries")
    assert status == 200
    (found,) = answer["dictionaries"]
    assert (found["id"], found["n_features"], found["hook_point"]) == ("tiny", N_FEATURES, HOOK)
    assert set(found["quality"]) == {
        "l0",
        "explained_variance",
        "ce_recovered",
        "dead_share",
        "dense_share",
    }
    status, detail = ask("/dictionaries/tiny")
    assert detail["corpus"] == ["corpus.jsonl"]
    assert detail["parameters"]["context"] == 32
    assert len(detail["density_histogram"]["edges"]) == len(detail["density_histogram"]["counts"]) + 1
    assert "/" not in str(detail["parameters"]), "no path of this machine"


def test_features_page_through_the_whole_list(ask: Any) -> None:
    seen, cursor = [], ""
    while True:
        status, answer = ask(f"/dictionaries/tiny/features?sort=-density&limit=7{cursor}")
        assert (status, answer["total"]) == (200, N_FEATURES)
        seen += [f["index"] for f in answer["features"]]
        if answer["next"] is None:
            break
        cursor = f"&cursor={answer['next']}"
    assert sorted(seen) == list(range(N_FEATURES))
    assert seen[-1] == DEAD


def test_a_feature_is_whole(ask: Any) -> None:
    _, feature = ask("/dictionaries/tiny/features/3")
    assert sum(feature["histogram"]["counts"]) == feature["n_active_tokens"]
    assert feature["density"] == pytest.approx(feature["n_active_tokens"] / feature["n_tokens"])
    assert len(feature["logits"]["promoted"]) == len(feature["logits"]["suppressed"]) == 10
    assert [n["cosine"] for n in feature["neighbors"]["similar"]] == sorted(
        (n["cosine"] for n in feature["neighbors"]["similar"]), reverse=True
    )
    assert feature["labels"] == []


def test_examples_have_tokens_that_are_spans(ask: Any) -> None:
    for group in ("top", "interval-3", "silent", "contrast"):
        _, answer = ask(f"/dictionaries/tiny/features/3/examples?group={group}")
        for example in answer["examples"]:
            assert all(t["text"] == example["text"][t["start"] : t["end"]] for t in example["tokens"])
            fires = any(t["activation"] > 0 for t in example["tokens"])
            assert fires == (group in ("top", "interval-3"))


def test_activations_of_texts(client: TestClient) -> None:
    texts = ["The match 🎾 and the court.", "日本語"]
    answer = client.post("/api/v1/dictionaries/tiny/activations", json={"texts": texts, "top_k": 2})
    assert answer.status_code == 200
    for text, result in zip(texts, answer.json()["results"], strict=True):
        assert "".join(token["text"] for token in result["tokens"]) == text
        for token in result["tokens"]:
            strengths = [f["activation"] for f in token["features"]]
            assert len(strengths) <= 2
            assert strengths == sorted(strengths, reverse=True)
            assert all(0 <= f["percentile"] <= 100 for f in token["features"])


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/dictionaries/nope", 404, "there are tiny"),
        ("/dictionaries/tiny/features/99", 404, "features 0 to 23"),
        ("/dictionaries/tiny/features/x", 422, "index"),
        ("/dictionaries/tiny/features?sort=size", 422, "sort"),
        ("/dictionaries/tiny/features?limit=0", 422, "limit"),
        ("/dictionaries/tiny/features?limit=1000", 422, "limit"),
        ("/dictionaries/tiny/features?cursor=AAAA", 422, "cursor"),
        ("/dictionaries/tiny/features?min_density=2", 422, "min_density"),
        ("/dictionaries/tiny/features?min_density=nan", 422, "min_density"),
        ("/dictionaries/tiny/features?min_density=0.5&max_density=0.1", 422, "above the highest"),
        ("/dictionaries/tiny/features/3/examples?group=best", 422, "group"),
        ("/search", 422, "q"),
        ("/nothing", 404, "/api/docs"),
    ],
)
def test_an_error_is_a_problem_that_says_what_to_do(client: TestClient, path: str, status: int, says: str) -> None:
    answer = client.get(f"/api/v1{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert says in answer.json()["detail"]
    assert answer.json()["status"] == status


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"texts": []}, "texts"),
        ({"texts": [""]}, "empty"),
        ({"texts": ["x"], "top_k": 0}, "top_k"),
        ({"texts": ["x"], "features": [999]}, "features 0 to 23"),
        ({"texts": "x"}, "texts"),
        ({"texts": ["x"], "other": 1}, "other"),
        ({"texts": ["x"] * 65}, "at most 64"),
        ({"texts": ["x" * 30_000]}, "at most 20,000"),
    ],
)
def test_a_bad_live_call_is_refused(client: TestClient, body: dict[str, Any], says: str) -> None:
    answer = client.post("/api/v1/dictionaries/tiny/activations", json=body)
    assert answer.status_code == 422
    assert says in answer.json()["detail"]


def test_a_method_that_is_not_taken_is_told_those_that_are(client: TestClient) -> None:
    answer = client.patch("/api/v1/dictionaries/tiny/features/3/labels/1")
    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET, PUT")
    assert "only DELETE, GET, PUT" in answer.json()["detail"]


def test_the_document_says_how_to_sign_in(client: TestClient) -> None:
    document = client.get("/api/openapi.json").json()
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert document["security"] == [{}, {"bearer": []}], "nobody must, on loopback"


def test_a_huge_body_is_refused_before_it_is_read(client: TestClient) -> None:
    answer = client.post("/api/v1/dictionaries/tiny/activations", content=b"x" * 2_000_000)
    assert answer.status_code == 413


def test_half_a_surrogate_and_broken_json_are_refused(client: TestClient) -> None:
    for content, status in ((b'{"texts": ["\\ud800"]}', 422), (b'{"texts": [', 422), (b"\xff", 400)):
        answer = client.post(
            "/api/v1/dictionaries/tiny/activations", content=content, headers={"content-type": "application/json"}
        )
        assert answer.status_code in (status, 422)
        assert answer.headers["content-type"] == "application/problem+json"


def test_the_openapi_document_names_every_call(client: TestClient) -> None:
    document = client.get("/api/openapi.json").json()
    assert {
        "/api/v1/dictionaries",
        "/api/v1/dictionaries/{dictionary_id}",
        "/api/v1/dictionaries/{dictionary_id}/features",
        "/api/v1/dictionaries/{dictionary_id}/features/{index}",
        "/api/v1/dictionaries/{dictionary_id}/features/{index}/examples",
        "/api/v1/dictionaries/{dictionary_id}/activations",
        "/api/v1/search",
    } <= set(document["paths"])
    page = client.get("/api/docs").text
    assert all(path in page for path in document["paths"])
    assert "http://" not in page.replace("http://testserver", "")


def test_the_openapi_document_says_that_a_disk_may_be_full_and_an_undo_too_late(client: TestClient) -> None:
    paths = client.get("/api/openapi.json").json()["paths"]
    changes = {path: calls[method] for path, calls in paths.items() for method in calls if method != "get"}
    labels = {path: call["responses"] for path, call in changes.items() if "/labels" in path}
    assert len(labels) > 3
    assert all("507" in answers for answers in labels.values())
    assert [path.rsplit("/", 1)[1] for path, answers in labels.items() if "409" in answers] == ["undo"]
