"""The JSON shapes of live activations."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # typing's own tells pydantic too little before Python 3.12

from app.api.schemas.shape import Shape, Text, Whole
from app.live import Ranking


class ActivationsRequest(BaseModel):
    """Texts to run through the language model and the SAE."""

    model_config = ConfigDict(extra="forbid", strict=True)

    texts: list[Text] = Field(min_length=1, examples=[["She won the match in straight sets."]])
    top_k: Whole = Field(default=10, ge=1, le=100, description="Strongest features a token.")
    features: list[Whole] | None = Field(
        default=None, max_length=100, description="Report these features at every token, instead of the strongest."
    )
    rank_by: Ranking = Field(
        default=Ranking.MAX,
        strict=False,  # a JSON string names it
        description="How the features of a whole text are put in order: by their largest activation in it, by the sum "
        "over its tokens, or by how few tokens of the corpus have them as strong (rarity).",
    )


class TokenFeature(TypedDict):
    """A plain dictionary: there are hundreds of them in an answer."""

    index: int
    label: str | None
    activation: float
    percentile: Annotated[
        float | None,
        Field(
            description="Of the feature's own activations in the index, how many per cent are at most this; "
            "null for a feature that never fired there."
        ),
    ]


class TextFeature(Shape):
    index: int
    label: str | None
    position: int = Field(description="The token where it is strongest.")
    max_activation: float = Field(description="In this text.")
    percentile: float | None = Field(description="Of `max_activation`, as for a token.")
    sum: float = Field(description="Over the text's tokens.")
    n_tokens: int = Field(description="Tokens of the text where it is active.")
    n_as_strong: float = Field(
        description="About how many tokens of the corpus have it at least as strong; below 1: hardly any or none."
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
    features: list[TextFeature] = Field(description="The first 20 over the whole text, in the order asked for.")


class Activations(Shape):
    results: list[LiveText]


class NextTokensRequest(BaseModel):
    """A place in a text."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: Text = Field(examples=["She won the match in straight"])
    position: Whole = Field(ge=0, description="The token after which to predict, counted from 0.")
    top_k: Whole = Field(default=10, ge=1, le=100)


class NextToken(Shape):
    token: str
    token_id: int
    probability: float


class NextTokens(Shape):
    next: list[NextToken] = Field(description="The likeliest first.")
