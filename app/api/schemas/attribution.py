"""The JSON shapes of attribution."""

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas.activations import NextToken
from app.api.schemas.shape import Shape, Text, Whole


class AttributionRequest(BaseModel):
    """A next token to explain, at a place of a text."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: Text = Field(examples=["She won the match in straight"])
    position: Whole | None = Field(default=None, description="The token after which; null for the last.")
    target: Whole | str | None = Field(default=None, description="A token's id or text; null for the likeliest.")
    versus: Whole | str | None = Field(default=None, description="Explain the difference to this token's logit.")
    n: Whole = Field(
        default=10,
        json_schema_extra={"minimum": 1},
        description="Features to ablate: those that contribute most, either way.",
    )


class FeatureContribution(Shape):
    index: int
    label: str | None
    contribution: float = Field(description="Activation times gradient, summed over tokens.")
    by_token: list[float]
    ablation_effect: float = Field(description="The value less the value with this feature at 0 on every token.")


class Attribution(Shape):
    """from_features + from_error + from_bias + from_bos + rest = value."""

    tokens: list[str] = Field(description="Of the text's window, up to `position`.")
    position: int
    target: NextToken
    versus: NextToken | None
    value: float = Field(description="The target's logit, less that of `versus`.")
    from_features: float
    from_error: float = Field(description="What the SAE does not reconstruct, times its gradient.")
    from_bias: float = Field(description="The reconstruction with every feature at 0, times its gradient.")
    from_bos: float = Field(description="The activations at BOS, which the SAE is not held to.")
    rest: float = Field(description="What reaches the value by other paths than the hook, and what is not linear.")
    by_token: list[float] = Field(description="Contributions of all features at each token.")
    features: list[FeatureContribution]
    correlation: float | None = Field(description="Pearson's, of contributions with ablation effects, over `features`.")
    next: list[NextToken] = Field(description="What the model expects there, the likeliest first.")
