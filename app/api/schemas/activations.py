"""The JSON shapes of live activations."""

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas.shape import Shape


class ActivationsRequest(BaseModel):
    """Texts to run through the language model and the SAE."""

    model_config = ConfigDict(extra="forbid", strict=True)

    texts: list[str] = Field(min_length=1, examples=[["She won the match in straight sets."]])
    top_k: int = Field(default=10, ge=1, le=100, description="Strongest features a token.")
    features: list[int] | None = Field(
        default=None, max_length=100, description="Report these features at every token, instead of the strongest."
    )


class TokenFeature(Shape):
    index: int
    label: str | None
    activation: float
    percentile: float | None = Field(
        description="Of the feature's own activations in the index, how many per cent are at most this; "
        "null for a feature that never fired there."
    )


class LiveToken(Shape):
    position: int
    text: str
    start: int
    end: int
    features: list[TokenFeature]


class LiveText(Shape):
    text: str
    tokens: list[LiveToken]


class Activations(Shape):
    results: list[LiveText]
