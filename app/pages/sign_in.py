"""Signing in with a token, and out again."""

from dataclasses import dataclass
from secrets import token_urlsafe
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.access.form_tokens import make_form_key
from app.access.identity import FORM_COOKIE, SESSION_COOKIE
from app.access.routes import doorkeeper, needs
from app.access.rule import client_address
from app.access.visit import Visit, begin_visit
from app.errors import NotSignedIn
from app.pages.web import CurrentPerson, render
from app.roles import Role

router = APIRouter(dependencies=[needs(Role.ANYONE)])
Next = Annotated[str, Query(max_length=4000)]


@dataclass(frozen=True)
class SignInPage:
    """next: where to go then. refused: why the last try failed. has_openid: whether there is OpenID Connect too."""

    next: str
    refused: str | None
    has_openid: bool


@router.get("/sign-in")
def show_sign_in(request: Request, person: CurrentPerson, next: Next = "/") -> Response:
    return _form(request, person.name is None, _page(request, next, None), 200)


@router.post("/sign-in")
def sign_in(
    request: Request,
    person: CurrentPerson,
    token: Annotated[str, Form(max_length=1000)] = "",
    next: Annotated[str, Form(max_length=4000)] = "/",
) -> Response:
    door = doorkeeper(request)
    try:
        found = door.token(token.strip(), client_address(request, door.proxies))
    except NotSignedIn as error:
        return _form(request, person.name is None, _page(request, next, str(error)), 401)
    answer = RedirectResponse(own_address(next), 303, {"cache-control": "no-store"})
    keep_signed_in(request, answer, door.sign_in(request, found, None))
    return answer


@router.post("/sign-out")
def sign_out(request: Request) -> RedirectResponse:
    doorkeeper(request).sign_out(request)
    answer = RedirectResponse("/", 303, {"cache-control": "no-store"})
    answer.delete_cookie(SESSION_COOKIE, path=doorkeeper(request).cookie_path)
    return answer


def keep_signed_in(request: Request, answer: Response, cookie: str) -> None:
    door = doorkeeper(request)
    set_cookie(request, answer, SESSION_COOKIE, cookie, door.settings.sign_in_days * 86_400)


def set_cookie(request: Request, answer: Response, name: str, value: str, seconds: int | None) -> None:
    """No script reads it, and no other site's form sends it."""
    secure = doorkeeper(request).is_encrypted(request)
    path = doorkeeper(request).cookie_path
    answer.set_cookie(name, value, max_age=seconds, path=path, httponly=True, samesite="lax", secure=secure)


def _page(request: Request, next: str, refused: str | None) -> SignInPage:
    return SignInPage(own_address(next), refused, doorkeeper(request).openid is not None)


def _form(request: Request, is_stranger: bool, page: SignInPage, status: int) -> HTMLResponse:
    """A browser that is not signed in gets a cookie of its own, which the form's token hangs on."""
    own = request.cookies.get(FORM_COOKIE) if is_stranger else ""
    if own is None:
        own = token_urlsafe(24)
        visit = Visit(request.state.visit.person, make_form_key(doorkeeper(request).key, own), signs_in=True)
        begin_visit(request, visit)
        answer = render("sign_in.html", page, status)
        set_cookie(request, answer, FORM_COOKIE, own, None)
    else:
        answer = render("sign_in.html", page, status)
    answer.headers["cache-control"] = "no-store"
    return answer


def own_address(next: str) -> str:
    """An address of this server; whatever else was asked for, the first page."""
    is_own = next.startswith("/") and not next.startswith(("//", "/\\")) and next.isprintable()
    return next if is_own else "/"
