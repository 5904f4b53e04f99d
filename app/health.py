"""For whoever watches over the process: is it alive, and can it serve."""

from dataclasses import asdict, dataclass

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, PlainTextResponse

from app.access.routes import needs
from app.errors import FeaturescopeError
from app.roles import Role
from app.serving import Models
from app.store.database import SCHEMA, Database
from app.store.state import stored_schema

router = APIRouter(dependencies=[needs(Role.ANYONE)])


@dataclass(frozen=True)
class Readiness:
    """database: ok, or what is wrong with it in a word; nothing that says where it is."""

    ready: bool
    database: str
    schema: str | None
    live_waiting: int


@router.get("/healthz")
def report_health() -> PlainTextResponse:
    """200 while the process answers. It asks nothing of the database: starting anew would not mend that."""
    return PlainTextResponse("ok")


@router.get("/readyz")
def report_readiness(request: Request, models: Models) -> JSONResponse:
    """200 while pages can be served: the database answers and has the schema of this program; else 503."""
    database: Database = request.app.state.database
    schema: str | None
    try:
        with database.read() as session:
            schema = stored_schema(session)
        state = "ok" if schema == SCHEMA else "another schema"
    except FeaturescopeError as error:
        schema, state = None, type(error).__name__.lower()
    found = Readiness(state == "ok", state, schema, models.door.n_inside)
    return JSONResponse(asdict(found), 200 if found.ready else 503, {"cache-control": "no-store"})
