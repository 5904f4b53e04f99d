"""Nothing that can be typed into an address or a body brings out an error of the server's own."""

import pytest
from fastapi.testclient import TestClient

ODD = (
    "",
    "-1",
    "1e9",
    "99999999999999999999",
    "%00",
    "%ED%A0%80",
    "%FF",
    "%F0%9F%8E%BE",
    "²",
    "a" * 5000,
    "' OR 1=1",
    "%25",
    "..%2f",
    "<script>",
    "nan",
    "%0A",
)
ADDRESSES = (
    "/{}",
    "/static/{}",
    "/dictionaries/{}",
    "/dictionaries/tiny?q={}",
    "/dictionaries/tiny?token={}",
    "/dictionaries/tiny?min_density={}",
    "/dictionaries/tiny?cursor={}",
    "/dictionaries/tiny?sort={}",
    "/dictionaries/tiny/features/{}",
    "/dictionaries/tiny/features/3?group={}",
    "/dictionaries/tiny/features/3?cursor={}",
    "/dictionaries/tiny/features/3?among={}",
    "/dictionaries/tiny/features/3?view={}",
    "/dictionaries/tiny/sentences/{}",
    "/dictionaries/tiny/sentences/3?feature={}",
    "/dictionaries/tiny/random?token={}",
    "/dictionaries/tiny?max_max_activation={}",
    "/dictionaries/tiny/live?text={}",
    "/dictionaries/tiny/live?text=x&feature={}",
    "/dictionaries/tiny/live?text=x&token={}",
    "/search?q={}",
    "/search?q=a&dictionary={}",
    "/search?q=a&cursor={}",
    "/api/v1/dictionaries/{}",
    "/api/v1/dictionaries/tiny/features/{}",
    "/api/v1/dictionaries/tiny/features?q={}",
    "/api/v1/dictionaries/tiny/features?max_density={}",
    "/api/v1/dictionaries/tiny/features?limit={}",
    "/api/v1/dictionaries/tiny/features?cursor={}",
    "/api/v1/dictionaries/tiny/features/3/examples?cursor={}",
    "/api/v1/search?q={}",
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_odd_address_is_answered_without_a_server_error(client: TestClient, address: str) -> None:
    for odd in ODD:
        answer = client.get(address.format(odd))
        assert answer.status_code < 500, odd


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"[]",
        b"[" * 5000,
        b'{"texts": [1]}',
        b'{"texts": ["\\u0000"]}',
        b'{"texts": ["a"], "top_k": 1e9}',
        b'{"texts": ["a"], "features": [99999999999999999999]}',
        b'{"texts": ["<|bos|><bos>"]}',
    ],
)
def test_an_odd_body_is_answered_without_a_server_error(client: TestClient, body: bytes) -> None:
    json = {"content-type": "application/json"}
    answer = client.post("/api/v1/dictionaries/tiny/activations", content=body, headers=json)
    assert answer.status_code < 500
    assert client.get("/dictionaries/tiny/live?text=x").status_code == 200, "the next one works"
