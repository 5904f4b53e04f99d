"""The server: one application made from settings. Neither torch nor a model is loaded until somebody asks for one."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from anyio import to_thread
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.middleware import Middleware

from app import health
from app import metrics as metrics_page
from app.access.identity import Doorkeeper, server_key
from app.access.routes import check_roles
from app.access.rule import check_access
from app.api import routes as api
from app.engine.runtime import Runtime
from app.metrics import Metrics
from app.middleware.compress import Compress
from app.middleware.etag import ETag
from app.middleware.head import HeadAsGet
from app.middleware.headers import SecurityHeaders
from app.middleware.hosts import HostCheck, known_hosts
from app.middleware.limits import RequestLimits, max_address
from app.middleware.observe import Observe
from app.middleware.root_path import RootPath
from app.pages import (
    admin,
    api_docs,
    attribution,
    copying,
    definitions,
    dictionary,
    embed,
    errors,
    exchange,
    feature,
    home,
    labels,
    live,
    search,
    sentence,
    separation,
    sign_in,
    sign_in_openid,
    steering,
    try_it,
)
from app.pages.assets import Assets
from app.pages.kept import KeptPages
from app.roles import Role
from app.settings import Settings, database_url
from app.store.database import Database
from app.store.dictionaries import list_dictionaries
from app.store.scales import KnownScales
from app.version import VERSION

PAGES = (
    home,
    dictionary,
    feature,
    labels,
    copying,
    exchange,
    embed,
    sentence,
    live,
    steering,
    attribution,
    separation,
    try_it,
    search,
    definitions,
    api_docs,
    sign_in,
    sign_in_openid,
    admin,
)
PAGE_THREADS = 40  # as Starlette has them


class Application(FastAPI):
    """FastAPI, with the way to sign in described in the document that it makes of the API."""

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        settings: Settings = self.state.settings
        api.describe_sign_in(document, is_needed=bool(settings.access) and settings.anonymous == Role.NOBODY)
        return document


def create_app(settings: Settings) -> FastAPI:
    """The application; its database is opened (and brought to the newest schema) when it starts. Raises Invalid."""
    check_access(settings)
    metrics, runtime = Metrics(), Runtime(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.database = Database(database_url(settings.db), settings.max_read_seconds or None)
        runtime.turn.open(asyncio.get_running_loop())
        app.state.doorkeeper = Doorkeeper(settings, app.state.database, server_key(app.state.database))
        # A live request holds a thread while it waits for the model; pages keep as many as they had.
        to_thread.current_default_thread_limiter().total_tokens = PAGE_THREADS + settings.max_waiting
        if settings.warm:
            await to_thread.run_sync(_load_all, app)
        yield
        runtime.close()
        app.state.database.close()

    app = Application(
        title="Featurescope",
        version=VERSION,
        description=api.DESCRIPTION,
        lifespan=lifespan,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        middleware=[
            Middleware(Observe, metrics=metrics, browsed=runtime.turn.leave_room),
            Middleware(SecurityHeaders),
            Middleware(HostCheck, hosts=known_hosts(settings), refuse=errors.respond),
            Middleware(HeadAsGet),
            Middleware(Compress),
            Middleware(ETag),
            *([Middleware(RootPath, prefix=settings.root_path)] if settings.root_path else []),
            Middleware(
                RequestLimits,
                max_body=settings.max_body,
                max_address=max_address(settings.max_text),
                refuse=errors.respond,
            ),
        ],
    )
    for kind, handler in errors.HANDLERS.items():
        app.add_exception_handler(kind, handler)
    app.state.settings = settings
    app.state.metrics = metrics
    app.state.runtime = runtime
    app.state.scales = KnownScales()
    app.state.kept_pages = KeptPages(settings.page_memory)
    api.include_in(app)
    for page in PAGES:
        app.include_router(page.router, include_in_schema=False)
    for watched in (health, metrics_page):
        app.include_router(watched.router, include_in_schema=False)
    static = Assets()
    app.mount("/static", static, name="static")
    check_roles(app)
    app.state.paths = {route.endpoint: route.path for route in iter_route_contexts(app.routes) if route.endpoint}
    app.state.paths[static] = "/static"
    return app


def _load_all(app: FastAPI) -> None:
    """Every dictionary's models, before the first request; one that cannot be loaded is named in the log."""
    with app.state.database.read() as session:
        stored = list_dictionaries(session)
    for one in stored:
        reason = app.state.runtime.load(one)
        if reason is not None:
            logging.getLogger("featurescope").warning("%s: no live side: %s", one.id, reason)
