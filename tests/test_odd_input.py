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

LIVE_ADDRESSES = (
    "/dictionaries/tiny/live?text=x&follow={}&by={}",
    "/dictionaries/tiny/features/3/try?text={}",
    "/dictionaries/tiny/steer?prompt={}&feature=3&run=whole&max_new_tokens=1",
    "/dictionaries/tiny/steer?prompt=x&feature=3&strength={}&mode={}&run=whole&max_new_tokens=1",
    "/dictionaries/tiny/steer?prompt=x&feature={}&run={}",
    "/dictionaries/tiny/steer?prompt=x&feature=3&seed={}&n_samples={}&temperature={}&run=whole&max_new_tokens=1",
    "/dictionaries/tiny/steer/events?prompt={}&feature={}&max_new_tokens=1",
    "/dictionaries/tiny/attribute?text={}",
    "/dictionaries/tiny/attribute?text=x&target={}&versus={}&feature={}&n={}",
    "/dictionaries/tiny/attribute?text=x&target_word={}&token={}",
    "/dictionaries/tiny/find?having={}&lacking={}",
)


@pytest.mark.parametrize(
    "address", [*ADDRESSES, *(pytest.param(address, marks=pytest.mark.slow) for address in LIVE_ADDRESSES)]
)
def test_an_odd_address_is_answered_without_a_server_error(client: TestClient, address: str) -> None:
    for odd in ODD:
        answer = client.get(address.replace("{}", odd))
        assert answer.status_code < 500, odd


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"[]",
        b"[" * 5000,
        b'{"texts": [1]}',
        b'{"texts": ["a"], "top_k": 1e9}',
        b'{"texts": ["a"], "features": [99999999999999999999]}',
    ],
)
def test_an_odd_body_is_answered_without_a_server_error(client: TestClient, body: bytes) -> None:
    json = {"content-type": "application/json"}
    answer = client.post("/api/v1/dictionaries/tiny/activations", content=body, headers=json)
    assert answer.status_code < 500
    assert client.get("/dictionaries/tiny/live?text=x").status_code == 200, "the next one works"
