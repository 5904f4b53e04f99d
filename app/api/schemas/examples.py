"""The JSON shapes of examples."""

from pydantic import Field

from app import domain
from app.api.schemas.shape import Shape


class Peak(Shape):
    position: int = Field(description="Index into the example's tokens.")
    token: str
    activation: float


class Token(Shape):
    text: str
    start: int = Field(description="In characters of the example's text; start = end inside a character.")
    end: int
    activation: float


class Example(Shape):
    group: domain.Group
    rank: int
    sentence: int
    text: str
    peak: Peak | None = Field(description="Null for a sentence where the feature is silent.")
    tokens: list[Token]


class ExampleList(Shape):
    examples: list[Example]
    next: str | None
    total: int
