"""Search: features by label, token, example text or metadata, across dictionaries."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.access.routes import needs
from app.api.parameters import Cursor, Limit, problems
from app.api.schemas.search import SearchHit, SearchResults
from app.roles import Role
from app.serving import ReadSession
from app.store.search import search

router = APIRouter(tags=["search"], dependencies=[needs(Role.READ)])


@router.get("/search", summary="Search", responses=problems(404, 422, 500, 503))
def read_search(
    session: ReadSession,
    q: Annotated[str, Query(min_length=1, max_length=200, description="Words; any punctuation is text.")],
    dictionary: Annotated[str | None, Query(description="Look in this dictionary alone.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> SearchResults:
    """Features whose label, top tokens, example texts or sentences' metadata hold the words."""
    found = search(session, q, dictionary, None, cursor, limit)
    return SearchResults(
        features=[SearchHit.model_validate(hit) for hit in found.items], next=found.next, total=found.total
    )
