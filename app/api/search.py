"""Search: features by label, token, example text or metadata, across dictionaries."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from app.access.routes import needs
from app.api.parameters import Cursor, Limit, problems
from app.api.schemas.search import SearchResults
from app.roles import Role
from app.serving import ReadSession
from app.store.search import search

Kind = Literal["label", "token", "text", "metadata"]
SYNTAX = 'Words, "phrases", beginnings* and -words to leave out; any other punctuation is text.'
router = APIRouter(tags=["search"], dependencies=[needs(Role.READ)])


@router.get("/search", summary="Search", responses=problems(404, 422, 500, 503))
def read_search(
    session: ReadSession,
    q: Annotated[str, Query(min_length=1, max_length=200, description=SYNTAX)],
    dictionary: Annotated[str | None, Query(description="Look in this dictionary alone.")] = None,
    kind: Annotated[Kind | None, Query(description="Only what was found in this.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> SearchResults:
    """Features whose label, top tokens, example texts or sentences' metadata hold the words, the likeliest first."""
    return SearchResults.of(search(session, q, dictionary, kind, cursor, limit))
