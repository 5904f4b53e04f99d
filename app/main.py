"""The server: one application made from settings. Neither torch nor a model is loaded until somebody asks for one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_bytes

from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse

from app.access.routes import check_roles, needs
from app.api import routes as api
from app.engine.runtime import Runtime
from app.middleware import BodyLimit, HeadAsGet, SecurityHeaders
from app.pages import api_docs, dictionary, errors, feature, home, live, search
from app.pages.assets import Assets
from app.roles import Role
from app.serving import ReadSession
from app.settings import Settings, database_url
from app.store.database import Database
from app.version import VERSION

PAGES = (home, dictionary, feature, live, search, api_docs)
health = APIRouter(dependencies=[needs(Role.ANYONE)])


def create_app(settings: Settings) -> FastAPI:
    """The application; its database is opened (and brought to the newest schema) when it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.database = Database(database_url(settings.db))
        yield
        app.state.database.close()

    app = FastAPI(
        title="Featurescope",
        version=VERSION,
        description=api.DESCRIPTION,
        lifespan=lifespan,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(HeadAsGet),
            Middleware(GZipMiddleware, minimum_size=1000, compresslevel=4),
            Middleware(BodyLimit, limit=settings.max_body, refuse=errors.respond),
        ],
    )
    for kind, handler in errors.HANDLERS.items():
        app.add_exception_handler(kind, handler)
    app.state.settings = settings
    app.state.secret = token_bytes(32)
    app.state.runtime = Runtime(settings)
    app.include_router(api.router, prefix="/api/v1")
    for page in PAGES:
        app.include_router(page.router, include_in_schema=False)
    app.include_router(health, include_in_schema=False)
    app.mount("/static", Assets(), name="static")
    check_roles(app)
    return app


@health.get("/healthz")
def report_health(session: ReadSession) -> PlainTextResponse:
    """200 once pages can be served: the database is open and answers."""
    session.connection().exec_driver_sql("SELECT 1")
    return PlainTextResponse("ok")
