"""For whoever runs the server: tokens, people's roles, private dictionaries, and what was done."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form
from pydantic import StringConstraints
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse, RedirectResponse

from app.access.routes import needs
from app.domain import Dictionary, Slice
from app.errors import Invalid
from app.pages.web import ReadSession, WriteSession, render
from app.roles import Grant, Role, Token, parse_role, parse_roles
from app.serving import query_as
from app.store.audit import AuditEntry, list_audit
from app.store.dictionaries import get_dictionary, list_dictionaries
from app.store.people import page_of_people, remove_person, set_person
from app.store.tokens import create_token, page_of_tokens, revoke_token
from app.store.visible import list_private, set_private

router = APIRouter(prefix="/admin", dependencies=[needs(Role.ADMIN)])
ROWS = 50  # of each list at a time
GIVEN = (Role.READ, Role.LABEL, Role.ADMIN, Role.METRICS, Role.NOBODY)
Text = Annotated[str, Form(max_length=2000)]
Cursor = Annotated[str, StringConstraints(max_length=1000)] | None


@dataclass(frozen=True)
class ShownToken:
    token: Token
    state: str


@dataclass(frozen=True)
class ShownDictionary:
    dictionary: Dictionary
    is_private: bool


@dataclass(frozen=True)
class Places:
    """Where each of the page's lists begins: cursors, None for its beginning."""

    tokens: Cursor = None
    people: Cursor = None
    audit: Cursor = None

    def href(self, of: str, cursor: str | None) -> str:
        """The page with one of its lists elsewhere."""
        places = asdict(self) | {of: cursor}
        query = urlencode({name: place for name, place in places.items() if place})
        return f"/admin?{query}#{of}" if query else f"/admin#{of}"


@dataclass(frozen=True)
class Pager:
    """Of one list. first_href, next_href: None where it is shown from its beginning, or to its end."""

    total: int
    first_href: str | None
    next_href: str | None


@dataclass(frozen=True)
class AdminPage:
    """secret: of the token that was made just now, in this answer alone. pagers: of tokens, people and audit."""

    tokens: Sequence[ShownToken]
    secret: str | None
    people: Sequence[Grant]
    dictionaries: Sequence[ShownDictionary]
    audit: Sequence[AuditEntry]
    pagers: Mapping[str, Pager]
    roles: Sequence[Role]


@router.get("")
def show_admin(session: ReadSession, places: Annotated[Places, Depends(query_as(Places))]) -> HTMLResponse:
    return _page(session, None, places)


@router.post("/tokens")
def make_token(session: WriteSession, name: Text, role: Text, days: Text = "", dictionaries: Text = "") -> HTMLResponse:
    _, secret = create_token(session, name, parse_role(role), parse_roles(dictionaries), expiry(days))
    return _page(session, secret, Places())


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


def _page(session: Session, secret: str | None, places: Places) -> HTMLResponse:
    now = datetime.now(UTC)
    private = list_private(session)
    tokens = page_of_tokens(session, places.tokens, ROWS)
    people = page_of_people(session, places.people, ROWS)
    audit = list_audit(session, None, places.audit, ROWS)
    page = AdminPage(
        tokens=[ShownToken(token, token.state(now)) for token in tokens.items],
        secret=secret,
        people=people.items,
        dictionaries=[ShownDictionary(found, found.id in private) for found in list_dictionaries(session)],
        audit=audit.items,
        pagers={
            "tokens": _pager(places, "tokens", tokens),
            "people": _pager(places, "people", people),
            "audit": _pager(places, "audit", audit),
        },
        roles=GIVEN,
    )
    answer = render("admin.html", page)
    answer.headers["cache-control"] = "no-store"
    return answer


def _pager(places: Places, of: str, shown: Slice[Any]) -> Pager:
    is_first = getattr(places, of) is None
    return Pager(
        shown.total,
        None if is_first else places.href(of, None),
        places.href(of, shown.next) if shown.next is not None else None,
    )


def _back() -> RedirectResponse:
    return RedirectResponse("/admin", 303, {"cache-control": "no-store"})
