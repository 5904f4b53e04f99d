"""For whoever runs the server: tokens, people's roles, private dictionaries, and what was done."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Form
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse, RedirectResponse

from app.access.routes import needs
from app.domain import Dictionary
from app.errors import Invalid
from app.pages.web import ReadSession, WriteSession, render
from app.roles import Grant, Role, Token, parse_role, parse_roles
from app.store.audit import AuditEntry, list_audit
from app.store.dictionaries import get_dictionary, list_dictionaries
from app.store.people import list_people, remove_person, set_person
from app.store.tokens import create_token, list_tokens, revoke_token
from app.store.visible import list_private, set_private

router = APIRouter(prefix="/admin", dependencies=[needs(Role.ADMIN)])
ENTRIES = 100
GIVEN = (Role.READ, Role.LABEL, Role.ADMIN, Role.METRICS, Role.NOBODY)
Text = Annotated[str, Form(max_length=2000)]


@dataclass(frozen=True)
class ShownToken:
    token: Token
    state: str


@dataclass(frozen=True)
class ShownDictionary:
    dictionary: Dictionary
    is_private: bool


@dataclass(frozen=True)
class AdminPage:
    """secret: of the token that was made just now, in this answer alone."""

    tokens: Sequence[ShownToken]
    secret: str | None
    people: Sequence[Grant]
    dictionaries: Sequence[ShownDictionary]
    audit: Sequence[AuditEntry]
    roles: Sequence[Role]


@router.get("")
def show_admin(session: ReadSession) -> HTMLResponse:
    return _page(session, None)


@router.post("/tokens")
def make_token(session: WriteSession, name: Text, role: Text, days: Text = "", dictionaries: Text = "") -> HTMLResponse:
    _, secret = create_token(session, name, parse_role(role), parse_roles(dictionaries), expiry(days))
    return _page(session, secret)


@router.post("/tokens/{id}/revoke")
def end_token(session: WriteSession, id: int) -> RedirectResponse:
    revoke_token(session, id)
    return _back()


@router.post("/people")
def give_role(session: WriteSession, name: Text, role: Text, dictionaries: Text = "") -> RedirectResponse:
    set_person(session, name, parse_role(role), parse_roles(dictionaries))
    return _back()


@router.post("/people/remove")
def take_role(session: WriteSession, name: Text) -> RedirectResponse:
    remove_person(session, name)
    return _back()


@router.post("/dictionaries/{dictionary_id}/private")
def make_private(session: WriteSession, dictionary_id: str, private: bool = Form()) -> RedirectResponse:
    set_private(session, get_dictionary(session, dictionary_id).id, private)
    return _back()


def expiry(days: str) -> datetime | None:
    """When a token made now expires. Raises Invalid."""
    if not days.strip():
        return None
    if not days.strip().isdecimal() or not 0 < int(days) <= 36_500:
        raise Invalid(f"A token is good for 1 to 36500 days, or without an end; {days!r} is neither.")
    return datetime.now(UTC) + timedelta(days=int(days))


def _page(session: Session, secret: str | None) -> HTMLResponse:
    now = datetime.now(UTC)
    private = list_private(session)
    page = AdminPage(
        tokens=[ShownToken(token, token.state(now)) for token in list_tokens(session)],
        secret=secret,
        people=list_people(session),
        dictionaries=[ShownDictionary(found, found.id in private) for found in list_dictionaries(session)],
        audit=list_audit(session, None, ENTRIES),
        roles=GIVEN,
    )
    answer = render("admin.html", page)
    answer.headers["cache-control"] = "no-store"
    return answer


def _back() -> RedirectResponse:
    return RedirectResponse("/admin", 303, {"cache-control": "no-store"})
