"""Errors turned into answers, in this one place: a page for people, problem+json (RFC 9457) under /api."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.errors import (
    Busy,
    Conflict,
    FeaturescopeError,
    Forbidden,
    FullDisk,
    Invalid,
    LostUpdate,
    NotFound,
    NotSignedIn,
    TooMany,
    Unavailable,
    VersionMissing,
)
from app.middleware.headers import SECURITY_HEADERS
from app.pages.web import render
from app.serving import is_api, own_path

STATUS = {
    NotSignedIn: 401,
    Forbidden: 403,
    NotFound: 404,
    LostUpdate: 412,
    Conflict: 409,
    VersionMissing: 428,
    Invalid: 422,
    TooMany: 429,
    Busy: 503,
    Unavailable: 503,
    FullDisk: 507,
}
SHOWN = 5  # faults of one request that are named
SHOWN_CHARACTERS = 60  # of a value that was refused


@dataclass(frozen=True)
class ErrorPage:
    """plain: the address without what was asked of it, where that was wrong. again: the same address, where it may be
    answered a little later."""

    status: int
    title: str
    detail: str
    plain: str | None
    again: str | None


def respond(
    request: Request,
    status: int,
    detail: str,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, str | int] | None = None,
) -> Response:
    """One error as the kind of answer that the asker reads. more: further members of problem+json."""
    title = HTTPStatus(status).phrase
    detail = detail.encode("utf-8", "backslashreplace").decode()  # what was asked may hold lone surrogates
    if is_api(request):
        problem = {"type": "about:blank", "title": title, "status": status, "detail": detail, **(more or {})}
        body = json.dumps(problem, ensure_ascii=False)
        return Response(body, status, headers, media_type="application/problem+json")
    is_get = request.method == "GET"
    plain = own_path(request) if status == 422 and is_get and request.url.query else None
    again = _asked(request) if is_get and "retry-after" in (headers or {}) else None
    page = render("error.html", ErrorPage(status, title, detail, plain, again), status)
    page.headers.update(headers or {})
    return page


def domain_error(request: Request, error: Exception) -> Response:
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
    headers = {}
    if isinstance(error, Busy | TooMany):
        headers["retry-after"] = str(error.retry_after)
    if isinstance(error, NotSignedIn):
        if not is_api(request) and request.method == "GET":
            return _to_sign_in(request)
        headers["www-authenticate"] = "Bearer"
    both: dict[str, str | int] | None = None
    if isinstance(error, LostUpdate):
        both = {"mine": error.mine, "theirs": error.theirs, "by": error.by, "version": error.version}
    return respond(request, status, str(error), headers, both)


def _to_sign_in(request: Request) -> Response:
    """A person who follows a link is asked who they are, and led on from there."""
    where = "/sign-in?" + urlencode({"next": _asked(request)})
    if "hx-request" in request.headers:
        return Response(status_code=401, headers={"hx-redirect": where})
    return RedirectResponse(where, 303)


def _asked(request: Request) -> str:
    return own_path(request) + (f"?{request.url.query}" if request.url.query else "")


def http_error(request: Request, error: Exception) -> Response:
    """An address that does not exist, a method that it does not take, a body that cannot be read."""
    assert isinstance(error, HTTPException)
    path, method = request.url.path, request.method
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    match error.status_code, error.detail:
        case 404, "Not Found":
            where = "the calls are listed at /api/docs" if is_api(request) else "start from the list of dictionaries"
            detail = f"There is nothing at {path}; {where}."
        case 405, _:
            allowed = ", ".join(sorted(_allowed(request)))
            headers["allow"] = allowed
            detail = f"{path} does not take {method}, only {allowed}."
        case 400, "There was an error parsing the body":
            detail = "The body cannot be read: it is not JSON in UTF-8, or it is nested too deeply."
        case _, given:
            detail = given
    return respond(request, error.status_code, detail, headers)


def _allowed(request: Request) -> set[str]:
    """What the address takes: the framework names the methods of the first of its routes alone."""
    path = own_path(request)
    routes = [route for route in iter_route_contexts(request.app.routes) if getattr(route, "path_regex", None)]
    return {method for route in routes if route.path_regex.match(path) for method in route.methods or ("GET",)}


def invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    named = [describe_fault(fault) for fault in faults[:SHOWN]]
    if len(faults) > SHOWN:
        named.append(f"and {len(faults) - SHOWN} more faults")
    return respond(request, 422, "; ".join(named) + ".")


def unexpected_error(request: Request, _error: Exception) -> Response:
    """Says nothing of the error itself: its text may hold paths of this machine. The server's log has it in full.

    It is answered outside the middleware, hence the headers here.
    """
    detail = "The server met an error that it did not expect. Its log says more; please report it."
    return respond(request, 500, detail, SECURITY_HEADERS)


def describe_fault(fault: Mapping[str, Any]) -> str:
    """One fault that pydantic found, as "where: what it should be, not what it is"."""
    place: Sequence[str | int] = fault["loc"]
    if fault["type"] == "json_invalid":
        return f"The body is not JSON (character {place[-1]}: {fault['ctx']['error']})"
    where = ".".join(str(part) for part in place[1:]) or "The body"
    what = str(fault["msg"]).removeprefix("Value error, ").removeprefix("Input ").removeprefix("String ").rstrip(".")
    if fault["type"] == "missing":
        return f"{where} is missing"
    if fault["type"] == "string_unicode":
        return f"{where} holds half of a surrogate pair, which is no character"
    shown = fault.get("input")
    if not isinstance(shown, str | int | float):
        return f"{where}: {what}"
    text = repr(shown)
    return f"{where}: {what}, not {text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + '…'}"


HANDLERS = {
    FeaturescopeError: domain_error,
    HTTPException: http_error,
    RequestValidationError: invalid_request,
    Exception: unexpected_error,
}
