"""The JSON shapes of labels."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas.shape import Shape
from app.domain import LabelAction

AUTHOR = "Who you are; whoever is signed in need not say it, and is the author whatever stands here."


class Label(Shape):
    id: int
    text: str
    author: str = Field(description="Who wrote the text as it is now.")
    source: str = Field(description="'person', or the name of the model that wrote it.")
    score: float | None
    created_at: datetime
    changed_at: datetime
    version: int = Field(description="One more with every change of the text; quoted, it is the ETag.")
    stars: int
    starred_by: list[str]


class LabelList(Shape):
    labels: list[Label] = Field(description="The one that the feature is called by first.")


class LabelChange(Shape):
    id: int
    label: int
    action: LabelAction
    by: str
    at: datetime
    text: str = Field(description="As it was afterwards; before, where it was removed.")
    author: str
    source: str


class LabelHistory(Shape):
    changes: list[LabelChange] = Field(description="The latest first.")


class LabelWritten(BaseModel):
    """What a person calls a feature."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str = Field(min_length=1, max_length=500)
    author: str | None = Field(default=None, min_length=1, max_length=100, description=AUTHOR)


class Signed(BaseModel):
    """Who does it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    author: str | None = Field(default=None, min_length=1, max_length=100, description=AUTHOR)


class ImportReport(Shape):
    added: int
    changed: int = Field(description="Labels that were there and have another score now.")
    unchanged: int
    starred: int = Field(description="Stars given.")
    dry_run: bool = Field(description="True: nothing is stored, this is what would be.")
