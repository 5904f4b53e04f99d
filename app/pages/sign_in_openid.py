"""Signing in through OpenID Connect: to the provider, and back from it."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse

from app.access.openid import COOKIE, MINUTES, OpenIdProvider, read_attempt
from app.access.routes import doorkeeper, needs
from app.errors import Forbidden, NotFound
from app.pages.sign_in import Next, keep_signed_in, own_address, set_cookie
from app.roles import Role

router = APIRouter(prefix="/sign-in/openid", dependencies=[needs(Role.ANYONE)])
Given = Annotated[str, Query(max_length=4000)]


@router.get("")
def begin(request: Request, next: Next = "/") -> RedirectResponse:
    address, attempt = _provider(request).begin(own_address(next))
    answer = RedirectResponse(address, 303, {"cache-control": "no-store"})
    set_cookie(request, answer, COOKIE, attempt.to_cookie(doorkeeper(request).key), MINUTES * 60)
    return answer


@router.get("/back")
def come_back(request: Request, state: Given = "", code: Given = "", error: Given = "") -> RedirectResponse:
    attempt = read_attempt(doorkeeper(request).key, request.cookies.get(COOKIE, ""))
    if error or not code:
        raise Forbidden("The OpenID provider did not sign you in; begin it again, or sign in with a token.")
    name = _provider(request).finish(attempt, state, code)
    answer = RedirectResponse(own_address(attempt.next), 303, {"cache-control": "no-store"})
    keep_signed_in(request, answer, doorkeeper(request).sign_in(request, None, name))
    answer.delete_cookie(COOKIE, path=doorkeeper(request).cookie_path)
    return answer


def _provider(request: Request) -> OpenIdProvider:
    provider = doorkeeper(request).openid
    if provider is None:
        raise NotFound("Nobody signs in through OpenID Connect here; sign in with a token.")
    return provider
