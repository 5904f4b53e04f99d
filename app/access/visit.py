"""The visit: who sends the request that is being answered, and what forms of its pages carry.

Templates reach it as `visit()`, since every page shows who is signed in; handlers take `CurrentPerson`.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from secrets import token_hex
from typing import Annotated, cast

from fastapi import Depends, Request

from app.access.form_tokens import make_form_token
from app.roles import OWNER, STRANGER, Person


@dataclass(frozen=True)
class Visit:
    """form_key: what the tokens of this browser's forms are made with. signs_in: whether there is signing in at all."""

    person: Person
    form_key: bytes
    signs_in: bool = False

    @property
    def form_token(self) -> str:
        """Another one on every page, so that nothing can be learnt by comparing how well pages compress.

        On this machine alone always the same, so that a page that did not change need not be sent again.
        """
        return make_form_token(self.form_key, "owner" if self.person is OWNER else token_hex(8))


_NOBODY = Visit(STRANGER, b"")
_CURRENT: ContextVar[Visit] = ContextVar("visit", default=_NOBODY)


def begin_visit(request: Request, visit: Visit) -> None:
    """Known to handlers by the request, to templates by the context of the task that answers it."""
    request.state.visit = visit
    _CURRENT.set(visit)


def forget_visit() -> None:
    _CURRENT.set(_NOBODY)


def current_visit() -> Visit:
    return _CURRENT.get()


async def current_person(request: Request) -> Person:
    return cast(Visit, request.state.visit).person


CurrentPerson = Annotated[Person, Depends(current_person)]
