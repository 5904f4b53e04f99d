"""What pages and API both take from a running server: a database session, the loaded models, the settings."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Annotated, TypeVar, cast

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.engine.patience import Patience
from app.roles import Person
from app.settings import Settings
from app.store.audit import audited
from app.store.visible import restrict, restrict_unasked

if TYPE_CHECKING:
    from app.engine.runtime import Runtime
    from app.store.database import Database
    from app.store.scales import KnownScales


T = TypeVar("T")


async def read_session(request: Request) -> AsyncIterator[Session]:
    """Sees what the person who asks may see, and nothing else.

    It takes a connection where the handler first asks for something, in the handler's thread: to begin and end it in
    threads of their own would take longer than a query.
    """
    database = cast("Database", request.app.state.database)
    with database.read() as session:
        restrict(session, request.state.visit.person)
        session.info["kept"] = request.app.state.kept_pages, database
        try:
            yield session
        finally:
            # Its end is a message to another machine, which nobody else should wait for.
            if not database.is_sqlite and session.in_transaction():
                await run_in_threadpool(session.close)


def write_session(request: Request) -> Iterator[Session]:
    """One transaction, with its entry in the audit log."""
    person: Person = request.state.visit.person
    with cast("Database", request.app.state.database).write() as session:
        restrict_unasked(session, person)
        with audited(session, person, f"{request.method} {own_path(request)}"):
            yield session


# What needs no thread says so by `async`: FastAPI runs everything else in one, which costs more than these do.
async def served_database(request: Request) -> "Database":
    return cast("Database", request.app.state.database)


async def served_models(request: Request) -> "Runtime":
    return cast("Runtime", request.app.state.runtime)


async def known_scales(request: Request) -> "KnownScales":
    return cast("KnownScales", request.app.state.scales)


async def patience_of(request: Request) -> AsyncIterator[Patience]:
    """As long as the settings allow, and no longer than the client stays: it is watched while the handler works."""
    patience = Patience(cast(Settings, request.app.state.settings).max_seconds)

    async def watch() -> None:
        # The body has been read by now, so all that can still come is that the client leaves.
        while (await request.receive())["type"] != "http.disconnect":
            pass
        patience.leave()

    watching = asyncio.create_task(watch())
    try:
        yield patience
    finally:
        watching.cancel()


async def served_settings(request: Request) -> Settings:
    return cast(Settings, request.app.state.settings)


def query_as(kind: type[T]) -> Callable[[Request], Awaitable[T]]:
    """A dataclass read from a page's query, as a dependency. Raises RequestValidationError.

    In one go: FastAPI looks at each of a dozen parameters by itself, in ten times the time.
    """
    reader = TypeAdapter(kind)

    async def read(request: Request) -> T:
        try:
            return reader.validate_python(dict(request.query_params))
        except ValidationError as error:
            raise RequestValidationError([{**e, "loc": ("query", *e["loc"])} for e in error.errors()]) from error

    return read


# scope="function": the session ends before the answer is sent, so that a slow reader holds no connection and no
# client hears of a write that was not committed.
ReadSession = Annotated[Session, Depends(read_session, scope="function")]
WriteSession = Annotated[Session, Depends(write_session, scope="function")]
RequestPatience = Annotated[Patience, Depends(patience_of, scope="function")]
KnownActivationScales = Annotated["KnownScales", Depends(known_scales)]
# For an answer that is still being made when the handler has returned. It sees everything: the route's role and the
# dictionary that a restricted session found stand before it.
ServedDatabase = Annotated["Database", Depends(served_database)]
Models = Annotated["Runtime", Depends(served_models)]
ServerSettings = Annotated[Settings, Depends(served_settings)]


# Kept by nobody, and passed on at once by a proxy such as nginx, which otherwise collects an answer first.
SSE_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


def is_api(request: Request) -> bool:
    """Whether the answer is JSON for a program rather than a page for a person."""
    path = own_path(request)
    return path == "/api" or path.startswith("/api/")


def own_path(request: Request) -> str:
    """The path without the prefix that the server may be served under (--root-path)."""
    return str(request.scope["path"]).removeprefix(request.scope.get("app_root_path", request.scope["root_path"]))
