"""What a browser holds already is not sent again."""

import pytest
from fastapi.testclient import TestClient


@pytest.mark.parametrize("address", ["/", "/dictionaries/tiny?sort=-density", "/api/v1/dictionaries/tiny/features/3"])
def test_an_answer_that_is_held_already_comes_without_its_body(client: TestClient, address: str) -> None:
    first = client.get(address)
    again = client.get(address, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert "content-type" not in again.headers
    assert "content-security-policy" in again.headers
    other = client.get(address, headers={"if-none-match": 'W/"another"'})
    assert (other.status_code, other.content) == (200, first.content)


def test_pages_that_differ_are_tagged_differently(client: TestClient) -> None:
    tags = {client.get(f"/dictionaries/tiny/features/{index}").headers["etag"] for index in range(5)}
    assert len(tags) == 5


def test_errors_and_draws_are_never_held(client: TestClient) -> None:
    assert "etag" not in client.get("/dictionaries/nope").headers
    drawn = client.get("/dictionaries/tiny/random", follow_redirects=False)
    assert "etag" not in drawn.headers
    assert drawn.headers["cache-control"] == "no-store"


def test_pages_are_compressed_for_who_takes_it(client: TestClient) -> None:
    answer = client.get("/dictionaries/tiny", headers={"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert "accept-encoding" in answer.headers["vary"].lower()
