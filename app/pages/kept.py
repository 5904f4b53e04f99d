"""Pages that were made before and are still right: shown again instead of made again.

A page is a function of its address, of who reads it, and of the database. So it is kept under the first two, together
with the database's version, which changes with every commit of anybody: a label is seen at once, by whomever it was
written. What else a page shows (whether a model's files are there) may be `SECONDS` old.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import wraps
from threading import Lock
from time import monotonic
from typing import Any, ParamSpec

from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse

from app.access.visit import Visit, current_visit
from app.engine.runtime import Runtime
from app.roles import OWNER, Role
from app.store.database import Database

SECONDS = 10.0
P = ParamSpec("P")


class KeptPages:
    """The pages looked at last, at most `most` bytes of them (0: none), each for so many seconds."""

    def __init__(self, most: int, seconds: float = SECONDS) -> None:
        self.most = most
        self.seconds = seconds
        self._pages: OrderedDict[Hashable, tuple[object, float, bytes]] = OrderedDict()
        self.size = 0
        self._lock = Lock()

    def find(self, key: Hashable, version: object) -> bytes | None:
        with self._lock:
            made = self._pages.get(key)
            if made is None:
                return None
            if made[0] != version or self._is_old(key):
                self._drop(key)
                return None
            self._pages.move_to_end(key)
            return made[2]

    def keep(self, key: Hashable, version: object, page: bytes) -> None:
        """version: of the database before the page was made, so that a page never passes for newer than it is."""
        with self._lock:
            self._drop(key)
            self._pages[key] = version, monotonic(), page
            self.size += len(page)
            # Those that are too old to be shown again go first, so that the memory is taken by what is looked at.
            while self._pages and (self.size > self.most or self._is_old(next(iter(self._pages)))):
                self._drop(next(iter(self._pages)))

    def _is_old(self, key: Hashable) -> bool:
        return monotonic() - self._pages[key][1] > self.seconds

    def _drop(self, key: Hashable) -> None:
        if (made := self._pages.pop(key, None)) is not None:
            self.size -= len(made[2])


def kept(show: Callable[P, HTMLResponse]) -> Callable[P, HTMLResponse]:
    """For a handler that takes a ReadSession and answers with nothing but a page made of its arguments."""

    @wraps(show)
    def shown(*args: P.args, **asked: P.kwargs) -> HTMLResponse:
        session: Any = asked["session"]
        try:
            return _found_or_made(session, show, args, asked)
        finally:
            session.close()  # here, where the thread is the handler's: another one would take longer than a query

    return shown


def _found_or_made(
    session: Session, show: Callable[..., HTMLResponse], args: tuple[Any, ...], asked: dict[str, Any]
) -> HTMLResponse:
    pages, database = kept_pages_of(session)
    visit = current_visit()
    if not pages.most or not _is_the_same_each_time(visit, asked.get("dictionary_id")):
        return show(*args, **asked)
    said = (value for value in asked.values() if not isinstance(value, Session | Runtime))
    key = (show.__module__, show.__qualname__, visit.person, visit.signs_in, *said)
    version = database.version()
    page = pages.find(key, version)
    if page is not None:
        return HTMLResponse(page)
    made = show(*args, **asked)
    if made.status_code == 200:
        pages.keep(key, version, bytes(made.body))
    return made


def kept_pages_of(session: Session) -> tuple[KeptPages, Database]:
    """Put there by serving.read_session."""
    pages, database = session.info["kept"]
    return pages, database


def _is_the_same_each_time(visit: Visit, dictionary_id: object) -> bool:
    """Forms of everybody but the owner of this machine carry another token each time (see Visit.form_token)."""
    named = dictionary_id if isinstance(dictionary_id, str) else None
    return visit.person is OWNER or not visit.person.may(Role.LABEL, named)
