"""The lists on /admin: paged, so that years of use do not make one page of them."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.roles import Role
from app.settings import database_url
from app.store.database import Database
from app.store.people import set_person
from app.store.tokens import create_token
from tests.access.conftest import bearer
from tests.conftest import Page

MANY = 120


@pytest.fixture
def admin(serve: Callable[..., TestClient], token_of: Callable[..., str], database: str) -> Callable[[str], Any]:
    """Opens a page as an admin, of a database with many tokens, people and entries of the audit log."""
    secret = token_of("Root", Role.ADMIN)
    opened = Database(database_url(database))
    with opened.write() as session:
        for n in range(MANY):
            create_token(session, f"token {n}", Role.READ, {}, None)
            set_person(session, f"person {n:03}", Role.READ, {})
    opened.close()
    client = serve(access="token")
    for n in range(MANY // 2):
        where = f"/api/v1/dictionaries/tiny/features/{n % 8}/labels"
        client.post(where, json={"text": f"label {n}", "author": "Root"}, headers=bearer(secret))

    def get(address: str) -> Page:
        answer = client.get(address, headers=bearer(secret))
        return Page(answer.status_code, answer.text)

    return get


@pytest.mark.parametrize("of", ["tokens", "people", "audit"])
def test_each_list_goes_on_to_its_end(admin: Callable[[str], Page], of: str) -> None:
    address, seen, pages = "/admin", [], 0
    while address:
        page = admin(address)
        rows = [row.text() for row in page.all(f"section[aria-labelledby={of}] tbody tr")]
        assert 0 < len(rows) <= 50
        seen += rows
        pages += 1
        links = [link.attributes["href"] or "" for link in page.all(f"section[aria-labelledby={of}] .pager a")]
        address = next((href for href in links if f"{of}=" in href), "")
    assert pages > 1
    assert len(seen) == len(set(seen))
    assert page.text(f"section[aria-labelledby={of}] .pager").split()[0] == f"{len(seen)}"


def test_another_list_stays_where_it_was_read(admin: Callable[[str], Page]) -> None:
    on = admin("/admin").one("section[aria-labelledby=people] .pager a").attributes["href"] or ""
    both = admin(on).one("section[aria-labelledby=tokens] .pager a").attributes["href"] or ""
    assert "people=" in both
    assert "tokens=" in both
    assert admin(both).text("[aria-labelledby=people] th") == "person 050"


def test_a_cursor_of_another_list_is_refused(admin: Callable[[str], Page]) -> None:
    on = admin("/admin").one("section[aria-labelledby=tokens] .pager a").attributes["href"] or ""
    cursor = on.split("tokens=")[1].split("#")[0]
    for address in (f"/admin?audit={cursor}", "/admin?tokens=x", f"/admin?people={cursor}"):
        page = admin(address)
        assert page.status == 422
        assert "does not belong to this list" in page.text("main")
