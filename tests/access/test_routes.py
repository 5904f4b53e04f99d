"""Every route says which role it asks for, and no request that another site forged gets through."""

import re
from pathlib import Path

import pytest
from fastapi import APIRouter
from fastapi.routing import RouteContext, iter_route_contexts
from fastapi.testclient import TestClient

from app.access.forms import SAFE_METHODS
from app.access.routes import OPEN_TO_ALL, check_roles, declared_roles, needs
from app.main import create_app
from app.pages.assets import bundled
from app.roles import Role
from app.serving import WriteSession
from app.settings import Settings

ROUTES = [route for route in iter_route_contexts(create_app(Settings()).routes) if route.path not in OPEN_TO_ALL]
CHANGING = [
    (method, route) for route in ROUTES for method in sorted((route.methods or set()) - SAFE_METHODS - {"HEAD"})
]


def address(route: RouteContext) -> str:
    return re.sub(r"\{\w+(:\w+)?\}", "1", (route.path or "").replace("{dictionary_id}", "tiny"))


def test_every_route_declares_a_role() -> None:
    assert len(ROUTES) > 10
    for route in ROUTES:
        assert declared_roles(route), route.path


def test_a_route_without_a_role_is_refused_with_what_to_write() -> None:
    app, forgetful = create_app(Settings()), APIRouter()

    @forgetful.get("/dictionaries/{dictionary_id}/new")
    def show_new(dictionary_id: str) -> str:
        return dictionary_id

    app.include_router(forgetful)
    with pytest.raises(
        RuntimeError, match=r"/dictionaries/\{dictionary_id\}/new .*show_new.* declares no role"
    ) as found:
        check_roles(app)
    assert "router = APIRouter(dependencies=[needs(Role.READ)])" in str(found.value)


def test_a_route_that_writes_needs_more_than_reading() -> None:
    app, careless = create_app(Settings()), APIRouter(dependencies=[needs(Role.READ)])

    @careless.post("/new")
    def store_new(session: WriteSession) -> str:
        return str(session)

    app.include_router(careless)
    with pytest.raises(RuntimeError, match=r"store_new.* WriteSession"):
        check_roles(app)


@pytest.mark.parametrize(("method", "route"), CHANGING, ids=lambda value: getattr(value, "path", value))
def test_a_forged_request_is_refused_on_every_route_that_changes_something(
    client: TestClient, method: str, route: RouteContext
) -> None:
    where = address(route)
    form = {"content-type": "application/x-www-form-urlencoded"}
    for headers in (
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ):
        answer = client.request(method, where, headers=headers | form, content="text=forged")
        assert answer.status_code == 403, (where, headers)
        assert "another site" in answer.text
    for headers in (form, {"content-type": "text/plain"}, form | {"x-form-token": "0" * 40}):
        answer = client.request(method, where, headers=headers, content="text=forged&form_token=guess")
        assert answer.status_code == 403, (where, headers)


@pytest.mark.parametrize("template", sorted(bundled("templates").rglob("*.html")), ids=lambda path: path.name)
def test_every_form_that_changes_something_carries_the_token(template: Path) -> None:
    for form in re.findall(r"<form\b.*?</form>", template.read_text(), re.DOTALL | re.IGNORECASE):
        changes = re.search(r"""method\s*=\s*["']?post|hx-(post|put|patch|delete)\s*=""", form, re.IGNORECASE)
        if changes:
            assert "{{ form_token() }}" in form, (
                f"{template.name}: a form that changes something needs the token; write\n"
                '{% from "components/form_token.html" import form_token %}\nand inside the form {{ form_token() }}'
            )


@pytest.mark.parametrize("template", sorted(bundled("templates").rglob("*.html")), ids=lambda path: path.name)
def test_no_template_turns_escaping_off(template: Path) -> None:
    found = re.search(r"\|\s*safe\b|autoescape\s+false|Markup\(", template.read_text())
    assert found is None, f"{template.name} holds {found and found[0]!r}: text of a corpus would run as markup"


def test_no_module_makes_markup_that_is_not_escaped() -> None:
    """But the one that writes heated tokens and bars, in one place and under tests of its own (test_marks.py)."""
    for module in Path("app").rglob("*.py"):
        found = re.findall(r"\bMarkup\(|\|\s*safe\b|autoescape=False", module.read_text())
        assert len(found) <= (module == Path("app/pages/marks.py")), module


def test_a_role_includes_the_lesser_ones() -> None:
    order = [Role.NOBODY, Role.READ, Role.LABEL, Role.ADMIN]
    for i, had in enumerate(order):
        assert had.includes(Role.ANYONE)
        for j, asked in enumerate(order[1:], 1):
            assert had.includes(asked) == (i >= j)
    assert Role.ADMIN.includes(Role.METRICS)
    assert not Role.LABEL.includes(Role.METRICS)
    assert not Role.METRICS.includes(Role.READ)
