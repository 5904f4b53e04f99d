"""The JSON shapes of finding features by examples."""

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas.shape import Shape, Text, Whole


class SeparationRequest(BaseModel):
    """Two lists of texts: some that have what is looked for, some that lack it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    having: list[Text] = Field(
        alias="with", json_schema_extra={"minItems": 1}, examples=[["She won the match.", "He served an ace."]]
    )
    lacking: list[Text] = Field(
        alias="without", json_schema_extra={"minItems": 1}, examples=[["Chop the onions.", "It rained all day."]]
    )
    limit: Whole = Field(default=20, ge=1, le=200)


class SeparatingFeature(Shape):
    index: int
    label: str | None
    auc: float = Field(description="Share of pairs (with, without) where the former has the larger peak; ties half.")
    mean_with: float = Field(description="Mean of its largest activation in each text with.")
    mean_without: float
    n_with: int = Field(description="Texts with in which it fires.")
    n_without: int


class Separation(Shape):
    n_with: int
    n_without: int
    n_compared: int = Field(description="Features that fire in any of the texts.")
    by_chance: float = Field(description="How many of them would have an AUC of 1 by chance alone.")
    features: list[SeparatingFeature]
