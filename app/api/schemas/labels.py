"""The JSON shapes of labels."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas.shape import Shape


class Label(Shape):
    id: int
    text: str
    author: str
    source: str = Field(description="'person', or the name of the model that wrote it.")
    score: float | None
    created_at: datetime


class LabelWritten(BaseModel):
    """What a person calls a feature."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str = Field(min_length=1, max_length=500)
    author: str = Field(min_length=1, max_length=100)
