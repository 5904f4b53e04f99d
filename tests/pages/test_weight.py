"""How much a page weighs, and how many statements it asks of the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event
from sqlalchemy.engine import Engine

from app.main import create_app
from app.pages.assets import bundled
from app.settings import Settings
from tests.conftest import Indexed
from tests.tiny import DENSE

MOST_HTML, MOST_OURS = 100_000, 40_000
PAGES = {  # the most statements that each may take
    "/": 1,
    "/dictionaries/tiny": 4,
    "/dictionaries/tiny?sort=-label": 5,
    "/dictionaries/tiny?about=tennis&sort=-topic": 5,
    "/dictionaries/tiny?q=the&alive=yes&view=cards": 6,
    f"/dictionaries/tiny/features/{DENSE}": 7,
    f"/dictionaries/tiny/features/{DENSE}?view=full&spaces=shown": 7,
    "/dictionaries/tiny/features/3?group=interval-1": 7,
    "/dictionaries/tiny/features/3?among=sort%3D-density%26alive%3Dyes": 10,
    "/dictionaries/tiny/sentences/3": 8,
    "/dictionaries/tiny/random": 3,
    "/definitions": 0,
}


@contextmanager
def statements() -> Iterator[list[str]]:
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.fixture(scope="module")
def making(indexed: Indexed) -> Iterator[TestClient]:
    """Makes every page anew."""
    with TestClient(create_app(Settings(db=indexed.url, page_memory=0))) as client:
        client.get("/dictionaries/tiny")  # the row of a dictionary is read once
        yield client


@pytest.mark.parametrize("address", PAGES)
def test_a_page_asks_no_more_statements_than_it_should(making: TestClient, address: str) -> None:
    with statements() as asked:
        making.get(address, follow_redirects=False)
    selects = [statement for statement in asked if not statement.startswith("BEGIN")]
    assert len(selects) <= PAGES[address], "\n".join(selects)


@pytest.mark.parametrize("address", [*PAGES, "/search?q=the", "/api/docs"])
def test_no_page_is_heavier_than_a_reader_should_load(client: TestClient, address: str) -> None:
    assert len(client.get(address).content) < MOST_HTML


def test_our_styles_and_scripts_stay_small() -> None:
    """All of them together, but for those of an embed, which no other page loads and which loads few of these."""
    ours = [file for kind in ("css", "js") for file in Path(bundled("static") / kind).rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in ours if file.stem != "embed") < MOST_OURS
