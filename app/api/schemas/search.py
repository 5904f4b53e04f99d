"""The JSON shapes of search."""

from pydantic import Field

from app.api.schemas.shape import Shape


class SearchHit(Shape):
    dictionary: str
    index: int
    label: str | None
    matched: str = Field(description="What the words were found in.")
    snippet: str


class SearchResults(Shape):
    features: list[SearchHit]
    next: str | None
    total: int
