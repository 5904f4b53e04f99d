"""Pages that are shown again are those that would be made."""

import time
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.pages.kept import KeptPages
from app.settings import Settings
from app.settings import database_url as url_of
from app.store.database import Database
from app.store.dictionaries import get_dictionary
from app.store.labels import add_label
from tests.pages.test_weight import statements

FEATURE = "/dictionaries/tiny/features/5"
PAGES = ("/", "/dictionaries/tiny", FEATURE)


@pytest.fixture
def reader(own_database: str) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(db=own_database, model=False))) as client:
        yield client


def label(url: str, text: str) -> None:
    """As another process would, which knows nothing of this server."""
    database = Database(url_of(url))
    with database.write() as session:
        add_label(session, get_dictionary(session, "tiny"), 5, text, "Ada")
    database.close()


@pytest.mark.parametrize("address", PAGES)
def test_a_page_that_did_not_change_is_not_made_again(reader: TestClient, address: str) -> None:
    first = reader.get(address)
    with statements() as asked:
        again = reader.get(address)
    assert again.text == first.text
    assert not [statement for statement in asked if "FROM" in statement]


@pytest.mark.parametrize("address", [FEATURE, "/dictionaries/tiny"])
def test_what_another_process_writes_shows_at_once(reader: TestClient, own_database: str, address: str) -> None:
    for text in ("first of all", "seen since", "and again"):
        reader.get(address)
        label(own_database, text)
        assert text in reader.get(address).text


def test_pages_of_other_addresses_and_other_views_are_others(reader: TestClient) -> None:
    addresses = (*PAGES, f"{FEATURE}?view=full", "/dictionaries/tiny?sort=-density", "/dictionaries/tiny/features/6")
    first = [reader.get(address).text for address in addresses]
    assert len(set(first)) == len(addresses)
    assert [reader.get(address).text for address in addresses] == first
    named = reader.get(FEATURE, headers={"cookie": "featurescope_author=Zoe"}).text
    assert "Zoe" in named
    assert "Zoe" not in reader.get(FEATURE).text


def test_no_more_is_kept_than_there_is_room_for() -> None:
    pages = KeptPages(most=100)
    for number in range(20):
        pages.keep(number, "now", b"x" * 10)
        pages.find(0, "now")
    assert pages.find(0, "now") is not None, "looked at, it stays"
    assert sum(pages.find(number, "now") is not None for number in range(20)) == 10
    pages.keep("large", "now", b"x" * 101)
    assert pages.find("large", "now") is None
    pages.keep("small", "now", b"x")
    assert pages.find("small", "now") == b"x"
    assert pages.find("small", "later") is None
    assert pages.find("small", "now") is None


def test_pages_too_old_to_be_shown_again_take_no_memory() -> None:
    pages = KeptPages(most=100, seconds=0.0)
    for number in range(5):
        pages.keep(number, "now", b"x" * 10)
        time.sleep(0.001)
    assert pages.size <= 10
