"""Security headers on every kind of answer, and what an embed may."""

import pytest
from fastapi.testclient import TestClient


@pytest.mark.parametrize(
    ("address", "status"),
    [("/", 200), ("/nope", 404), ("/dictionaries/tiny?sort=x", 422), ("/api/v1/dictionaries", 200), ("/healthz", 200)],
)
def test_every_answer_says_what_it_may_load_and_who_may_frame_it(client: TestClient, address: str, status: int) -> None:
    answer = client.get(address)
    assert answer.status_code == status
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_an_embed_may_be_framed_and_sends_no_form(client: TestClient) -> None:
    embed = client.get("/embed/dictionaries/tiny/features/3").headers
    policy = embed["content-security-policy"]
    assert "frame-ancestors *" in policy
    assert "form-action 'none'" in policy
    assert "x-frame-options" not in embed
    page = client.get("/dictionaries/tiny/features/3").headers["content-security-policy"]
    assert policy.split("; ")[0] == page.split("; ")[0], "what it loads is as elsewhere"
