"""The names that the server answers to."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),
        ("127.0.0.1", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("192.168.1.7", 200),
        ("featurescope", 200),
        ("evil.example", 421),
        ("evil.example:8000", 421),
        ("127.0.0.1.evil.example", 421),
        ("EVIL.example.", 421),
    ],
)
def test_only_names_of_ones_own_are_answered(client: TestClient, host: str, status: int) -> None:
    answer = client.get("/dictionaries/tiny", headers={"host": host})
    assert answer.status_code == status
    if status == 421:
        assert "--hosts" in answer.text
        assert "Tiny" not in answer.text


def test_names_can_be_added(tmp_path: Path) -> None:
    app = create_app(
        Settings(db=str(tmp_path / "x.db"), hosts="Lens.example, other.example", public_url="https://third.example")
    )
    with TestClient(app) as client:
        for host in ("lens.example", "other.example:443", "third.example"):
            assert client.get("/healthz", headers={"host": host}).status_code == 200
        assert client.get("/healthz", headers={"host": "evil.example"}).status_code == 421
