"""Each route declares the role that it asks for; one that declares none keeps the server from being made.

router = APIRouter(dependencies=[needs(Role.READ)])          every route of the file
@router.post("...", dependencies=[needs(Role.LABEL)])        one that asks for more
"""

from collections.abc import Iterator
from functools import cache
from typing import Any, cast

from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import RouteContext, iter_route_contexts

from app.access.forms import SAFE_METHODS, check_not_forged
from app.access.identity import Doorkeeper
from app.access.rule import client_address
from app.access.visit import Visit, begin_visit
from app.errors import FeaturescopeError, Forbidden, NotSignedIn
from app.roles import OWNER, Person, Role
from app.serving import served_models, write_session

# Served by the framework itself: the same for everybody, and with nothing in it that is not in the source.
OPEN_TO_ALL = frozenset(("/static", "/api/openapi.json"))


class Needs:
    """A dependency: who asks is found, once a request, and refused where the role does not suffice."""

    def __init__(self, role: Role) -> None:
        self.role = role

    async def __call__(self, request: Request) -> None:
        visit: Visit | None = getattr(request.state, "visit", None)
        if visit is None:
            visit = await doorkeeper(request).visit(request)
            begin_visit(request, visit)
            await check_not_forged(request, visit)
        dictionary_id = request.path_params.get("dictionary_id")
        if not visit.person.may(self.role, dictionary_id):
            raise _refusal(request, visit.person, self.role)


class LiveCall:
    """A dependency: one more live call of whoever asks. Raises TooMany where they have had too many, and Busy where
    the model has: here, so that a call is refused before it waits for a thread.

    runs_with: parameters of a page's address without all of which it shows its form alone, and runs nothing.
    """

    def __init__(self, *runs_with: str) -> None:
        self.runs_with = runs_with

    async def __call__(self, request: Request) -> None:
        asked = request.query_params
        if not all(any(value.strip() for value in asked.getlist(name)) for name in self.runs_with):
            return
        (await served_models(request)).door.check_room()
        person: Person = request.state.visit.person
        door = doorkeeper(request)
        if door.live is not None and person is not OWNER:
            door.live.take(person.name or client_address(request, door.proxies))


def doorkeeper(request: Request) -> Doorkeeper:
    return cast(Doorkeeper, request.app.state.doorkeeper)


@cache
def needs(role: Role) -> Any:
    """What goes into `dependencies=[...]` of a router or a route. With both, both are asked for."""
    return Depends(Needs(role))


live_call: Any = Depends(LiveCall())  # goes after needs(...) on every route that runs a model


def live_page(*runs_with: str) -> Any:
    """The same for a page, which runs one where its address has these parameters."""
    return Depends(LiveCall(*runs_with))


def _refusal(request: Request, person: Person, asked: Role) -> FeaturescopeError:
    settings = doorkeeper(request).settings
    if person.changes_nothing or (settings.read_only and asked in (Role.LABEL, Role.ADMIN)):
        return Forbidden("This server only shows (--read-only); nothing can be changed here.")
    if person.name is None:
        return NotSignedIn(
            "Sign in first. A program sends the header Authorization: Bearer TOKEN; "
            "whoever runs this server makes tokens with: featurescope tokens create"
        )
    return Forbidden(f"This needs the role {asked}, and {person.name} has not got it here.")


def check_roles(app: FastAPI) -> None:
    """Raises RuntimeError that says, for each route without a role, what to write where."""
    faults = [fault for route in iter_route_contexts(app.routes) if (fault := _fault(route)) is not None]
    if faults:
        raise RuntimeError("\n".join(faults))


def declared_roles(route: RouteContext) -> set[Role]:
    """The roles that a route asks for, its router's among them."""
    dependant: Dependant | None = getattr(route, "dependant", None)
    return {call.role for call in _calls(dependant) if isinstance(call, Needs)} if dependant is not None else set()


def _fault(route: RouteContext) -> str | None:
    if route.path in OPEN_TO_ALL:
        return None
    roles = declared_roles(route)
    endpoint = route.endpoint
    where = f"{getattr(endpoint, '__module__', '?')}.{getattr(endpoint, '__name__', '?')}"
    methods = sorted((route.methods or {"ANY"}) - {"HEAD"})
    named = f"{', '.join(methods)} {route.path} ({where})"
    if not roles:
        return (
            f"{named} declares no role. Write in its file\n"
            "    from app.roles import Role\n"
            "    from app.access.routes import needs\n"
            "    router = APIRouter(dependencies=[needs(Role.READ)])\n"
            "and, for a route that stores something, @router.post(..., dependencies=[needs(Role.LABEL)]). "
            "Role.ANYONE is for what people may see who are not signed in."
        )
    writes = write_session in _calls(route.dependant)
    if writes and not set(methods) <= SAFE_METHODS and roles <= {Role.ANYONE, Role.READ}:
        return (
            f"{named} takes a WriteSession but asks for the role {max(roles)} alone: "
            "write @router.post(..., dependencies=[needs(Role.LABEL)]), or Role.ADMIN."
        )
    calls = set(_calls(route.dependant))
    if not set(methods) <= SAFE_METHODS and served_models in calls and live_call.dependency not in calls:
        return (
            f"{named} runs a model and counts no live call: write "
            "@router.post(..., dependencies=[live_call]), with live_call from app.access.routes."
        )
    return None


def _calls(dependant: Dependant) -> Iterator[Any]:
    for part in dependant.dependencies:
        yield part.call
        yield from _calls(part)
