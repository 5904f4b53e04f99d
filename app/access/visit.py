"""The visit: who sends the request that is being answered, and the token that forms of its pages carry.

Templates reach it as `visit()`, since every page shows who is signed in; handlers take `CurrentPerson`.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from app.roles import STRANGER, Person


@dataclass(frozen=True)
class Visit:
    """signs_in: whether there is signing in here at all."""

    person: Person
    form_token: str
    signs_in: bool = False


_CURRENT: ContextVar[Visit] = ContextVar("visit", default=Visit(STRANGER, ""))  # noqa: B039 - frozen


def begin_visit(request: Request, visit: Visit) -> None:
    """Known to handlers by the request, to templates by the context of the task that answers it."""
    request.state.visit = visit
    _CURRENT.set(visit)


def current_visit() -> Visit:
    return _CURRENT.get()


async def current_person(request: Request) -> Person:
    return cast(Visit, request.state.visit).person


CurrentPerson = Annotated[Person, Depends(current_person)]
