"""Labels by people over the API: one name, versions that are not lost, stars, history and undo."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

HERE = "/dictionaries/tiny/features/9"
WHERE = f"/api/v1{HERE}/labels"


@pytest.fixture
def labelled(client: TestClient) -> Iterator[TestClient]:
    """A client whose labels of feature 9 go in the end."""
    yield client
    for label in client.get(WHERE).json()["labels"]:
        client.delete(f"{WHERE}/{label['id']}?author=test")


def add(client: TestClient, text: str, author: str = "Ada") -> dict[str, Any]:
    made = client.post(WHERE, json={"text": text, "author": author})
    assert made.status_code == 201, made.text
    label: dict[str, Any] = made.json()
    return label


def test_a_label_is_the_name_everywhere_at_once(labelled: TestClient, ask: Any) -> None:
    id = add(labelled, "about serves")["id"]
    assert ask(HERE)[1]["label"] == "about serves"
    assert ask("/search?q=serves")[1]["features"][0] | {"n_examples": 0, "n_strongest": 0} == {
        "dictionary": "tiny",
        "index": 9,
        "label": "about serves",
        "matched": "label",
        "snippet": "about serves",
        "marks": [[6, 12]],
        "n_examples": 0,
        "n_strongest": 0,
    }
    changed = labelled.put(f"{WHERE}/{id}", json={"text": "<b>aces</b>", "author": "Ada"}, headers={"if-match": '"1"'})
    assert changed.json()["text"] == "<b>aces</b>"
    assert "&lt;b&gt;aces" in labelled.get(HERE).text
    assert all(hit["matched"] != "label" for hit in ask("/search?q=serves")[1]["features"])
    assert ask("/search?q=aces")[1]["features"][0]["label"] == "<b>aces</b>"
    assert ask("/dictionaries/tiny/features?labelled=true")[1]["total"] == 1
    assert labelled.delete(f"{WHERE}/{id}?author=Ada").status_code == 204
    assert ask(HERE)[1]["label"] is None
    assert ask("/search?q=aces")[1]["total"] == 0
    assert labelled.delete(f"{WHERE}/{id}?author=Ada").status_code == 404


def test_most_stars_then_the_newest_is_the_name(labelled: TestClient, ask: Any) -> None:
    first = add(labelled, "first")["id"]
    add(labelled, "second")
    assert ask(HERE)[1]["label"] == "second"
    for _ in range(2):  # one star a person, however often it is given
        starred = labelled.put(f"{WHERE}/{first}/star", json={"author": "Bob"}).json()
    assert (starred["stars"], starred["starred_by"]) == (1, ["Bob"])
    assert [label["text"] for label in ask(f"{HERE}/labels")[1]["labels"]] == ["first", "second"]
    assert ask(HERE)[1]["label"] == "first"
    assert labelled.delete(f"{WHERE}/{first}/star?author=Bob").json()["stars"] == 0
    assert ask(HERE)[1]["label"] == "second"


def test_a_lost_update_is_refused_with_both_texts(labelled: TestClient) -> None:
    made = labelled.post(WHERE, json={"text": "tennis", "author": "Ada"})
    where, seen = f"{WHERE}/{made.json()['id']}", made.headers["etag"]
    theirs = labelled.put(where, json={"text": "tennis courts", "author": "Bob"}, headers={"if-match": seen})
    assert (theirs.status_code, theirs.headers["etag"]) == (200, '"2"')
    mine = labelled.put(where, json={"text": "tennis serves", "author": "Ada"}, headers={"if-match": seen})
    assert mine.status_code == 412
    problem = mine.json()
    assert (problem["mine"], problem["theirs"], problem["by"], problem["version"]) == (
        "tennis serves",
        "tennis courts",
        "Bob",
        2,
    )
    assert "'tennis courts'" in problem["detail"]
    assert "'tennis serves'" in problem["detail"]
    assert labelled.get(where).json()["text"] == "tennis courts"
    assert labelled.delete(f"{where}?author=Ada", headers={"if-match": seen}).status_code == 412
    again = labelled.put(where, json={"text": "tennis serves", "author": "Ada"}, headers={"if-match": '"2"'})
    assert (again.status_code, again.json()["version"]) == (200, 3)
    assert labelled.put(where, json={"text": "any", "author": "Ada"}, headers={"if-match": "*"}).status_code == 200


def test_a_change_without_a_version_is_refused(labelled: TestClient) -> None:
    id = add(labelled, "tennis")["id"]
    assert labelled.put(f"{WHERE}/{id}", json={"text": "x", "author": "Ada"}).status_code == 428
    odd = labelled.put(f"{WHERE}/{id}", json={"text": "x", "author": "Ada"}, headers={"if-match": "first"})
    assert (odd.status_code, "ETag" in odd.json()["detail"]) == (422, True)


def test_every_change_is_in_the_history_and_can_be_undone(labelled: TestClient, ask: Any) -> None:
    before = len(ask(f"{HERE}/labels/history")[1]["changes"])
    id = add(labelled, "tennis")["id"]
    labelled.put(f"{WHERE}/{id}/star", json={"author": "Cleo"})
    labelled.put(f"{WHERE}/{id}", json={"text": "cricket", "author": "Bob"}, headers={"if-match": "*"})

    def changes() -> list[dict[str, Any]]:
        made = ask(f"{HERE}/labels/history")[1]["changes"]
        found: list[dict[str, Any]] = made[: len(made) - before]
        return found

    def undo(change: int) -> Any:
        return labelled.post(f"{WHERE}/history/{change}/undo", json={"author": "Ada"})

    assert [(c["action"], c["text"], c["by"]) for c in changes()] == [
        ("changed", "cricket", "Bob"),
        ("added", "tennis", "Ada"),
    ]
    assert undo(changes()[1]["id"]).status_code == 409  # another change came after
    assert undo(changes()[0]["id"]).status_code == 200
    assert ask(f"{HERE}/labels/{id}")[1]["text"] == "tennis"
    labelled.delete(f"{WHERE}/{id}?author=Ada")
    assert ask(HERE)[1]["label"] is None
    assert undo(changes()[0]["id"]).json()["action"] == "restored"
    restored = ask(f"{HERE}/labels/{id}")[1]
    assert (restored["text"], restored["author"], restored["starred_by"]) == ("tennis", "Ada", ["Cleo"])
    assert ask("/search?q=tennis&kind=label")[1]["total"] == 1
    assert [c["action"] for c in changes()] == ["restored", "removed", "changed", "changed", "added"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "text"),
        ("  ", "empty"),
        ("x" * 501, "500"),
        ("two\nlines", "line break"),
        ("bell\a", "control character"),
        ("e" + 9 * "\u0301", "accents"),
        ("right\u202eleft", "control character"),
    ],
)
def test_a_text_that_is_no_label_is_refused(labelled: TestClient, text: str, says: str) -> None:
    answer = labelled.post(WHERE, json={"text": text, "author": "Ada"})
    assert answer.status_code == 422
    assert says in answer.json()["detail"]


def test_a_megabyte_is_refused(labelled: TestClient) -> None:
    assert labelled.post(WHERE, json={"text": "x" * 990_000, "author": "Ada"}).status_code == 422


def test_a_label_needs_an_author_and_a_feature(labelled: TestClient) -> None:
    nobody = labelled.post(WHERE, json={"text": "tennis"})
    assert (nobody.status_code, "who you are" in nobody.json()["detail"]) == (422, True)
    nowhere = labelled.post("/api/v1/dictionaries/tiny/features/99/labels", json={"text": "x", "author": "Ada"})
    assert (nowhere.status_code, "0 to 23" in nowhere.json()["detail"]) == (404, True)


@pytest.mark.parametrize("index", ["24", "-1", "2765646428869104746102784"])
def test_labels_of_a_feature_that_is_not_there_are_a_clear_404(client: TestClient, index: str) -> None:
    for what in ("labels", "labels/history"):
        answer = client.get(f"/api/v1/dictionaries/tiny/features/{index}/{what}")
        assert answer.status_code == 404
        assert "features 0 to 23" in answer.json()["detail"]


def test_the_history_takes_no_other_method_for_a_label(client: TestClient) -> None:
    answer = client.put(f"{WHERE}/history", json={"text": "x", "author": "Ada"})
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"
