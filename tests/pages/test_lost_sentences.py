"""Pages over a database that has lost a sentence which examples show: they show the rest, and say so."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser
from sqlalchemy import text

from app.domain import Group
from app.main import create_app
from app.settings import Settings
from app.settings import database_url as url_of
from app.store.database import Database
from app.store.dictionaries import get_dictionary
from app.store.examples import list_examples

FEATURE = "/dictionaries/tiny/features/3"


@pytest.fixture
def lost(own_database: str) -> int:
    """The sentence of the strongest example of feature 3, taken away."""
    database = Database(url_of(own_database))
    with database.write() as session:
        example = list_examples(session, get_dictionary(session, "tiny"), 3, Group.TOP, None, 1).items[0]
        session.execute(text("DELETE FROM sentences WHERE number = :number"), {"number": example.sentence})
    database.close()
    return example.sentence


@pytest.fixture
def reader(own_database: str, lost: int) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(db=own_database, model=False))) as client:
        yield client


def test_the_other_examples_are_shown_and_the_loss_is_said(reader: TestClient) -> None:
    answer = reader.get(FEATURE)
    page = LexborHTMLParser(answer.text)
    assert answer.status_code == 200
    assert len(page.css("ol.examples > li")) > 1
    (notice,) = page.css("#examples > .notice")
    assert "1 of these examples cannot be shown" in notice.text()
    assert "featurescope check" in notice.text()


@pytest.mark.parametrize("address", ["/dictionaries/tiny?view=cards", "/dictionaries/tiny", f"/embed{FEATURE}"])
def test_other_pages_go_without_it(reader: TestClient, address: str) -> None:
    assert reader.get(address).status_code == 200


def test_the_call_leaves_it_out_and_keeps_the_ranks(reader: TestClient, lost: int) -> None:
    answer = reader.get(f"/api/v1{FEATURE}/examples").json()
    assert [example["rank"] for example in answer["examples"]] == list(range(1, answer["total"]))
    assert lost not in [example["sentence"] for example in answer["examples"]]
