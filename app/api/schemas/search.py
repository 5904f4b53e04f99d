"""The JSON shapes of search."""

from typing import Literal, Self

from pydantic import Field

from app import domain
from app.api.schemas.shape import Shape


class SearchHit(Shape):
    dictionary: str
    index: int
    label: str | None
    matched: Literal["label", "token", "text", "metadata"] = Field(description="What the words were found in.")
    snippet: str
    marks: list[list[int]] = Field(description="[start, end] in characters of the snippet: what was looked for.")
    n_examples: int = Field(
        description="How many of its strongest examples hold the words, of those that were read; where `matched` is "
        "metadata, how many have them there."
    )
    n_strongest: int = Field(description="How many strongest examples it has; 0 where none was looked at.")


class Facets(Shape):
    kinds: dict[str, int] = Field(description="Features by what the words were found in; one may count in several.")
    dictionaries: dict[str, int]


class SearchResults(Shape):
    features: list[SearchHit]
    next: str | None
    total: int
    facets: Facets
    is_complete: bool = Field(
        description="False for words so common that only the strongest examples with them were read: "
        "every number is then a lower bound."
    )

    @classmethod
    def of(cls, found: domain.SearchResults) -> Self:
        return cls(
            features=[SearchHit.model_validate(hit) for hit in found.hits.items],
            next=found.hits.next,
            total=found.hits.total,
            facets=Facets(kinds=dict(found.kinds), dictionaries=dict(found.dictionaries)),
            is_complete=found.is_complete,
        )
