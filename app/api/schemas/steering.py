"""The JSON shapes of steering: what is asked, and the events that answer."""

from pydantic import BaseModel, ConfigDict, Field

from app import live
from app.api.schemas.shape import Shape, Text, Whole
from app.engine.requests import MOST_STRENGTH, MOST_TEMPERATURE
from app.live import Mode, Side, Where


class FeatureStrength(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    index: Whole
    strength: float = Field(
        json_schema_extra={"minimum": -MOST_STRENGTH, "maximum": MOST_STRENGTH},
        description="In units of the feature's largest activation in the index: 1 is as strong as ever seen there.",
    )
    mode: Mode = Field(
        default=Mode.ADD,
        strict=False,  # a JSON string names it
        description="`add` adds strength times the decoder row; `clamp` sets the activation to it (0 switches it off).",
    )


class SteeringRequest(BaseModel):
    """A prompt, and the features to push while it is written on."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    prompt: Text = Field(examples=["The best thing about summer is"])
    features: list[FeatureStrength] = Field(json_schema_extra={"minItems": 1})
    where: Where = Field(
        default=Where.ALL,
        strict=False,
        description="`all` steers at every token but BOS, `generated` from the prompt's last token on.",
    )
    max_new_tokens: Whole = Field(default=40, json_schema_extra={"minimum": 1})
    temperature: float = Field(
        default=0.8,
        json_schema_extra={"minimum": 0, "maximum": MOST_TEMPERATURE},
        description="0 takes the likeliest token each time.",
    )
    seed: Whole = Field(default=0, ge=0, le=2**31 - 1, description="Of the first sample; the others follow.")
    n_samples: Whole = Field(default=1, json_schema_extra={"minimum": 1})
    controls: bool = Field(
        default=False, description="Also write as much steered in a random direction, and by other live features."
    )

    def to_domain(self) -> live.SteeringRequest:
        features = [live.FeatureStrength(one.index, one.strength, one.mode) for one in self.features]
        return live.SteeringRequest(
            self.prompt,
            features,
            self.where,
            self.max_new_tokens,
            self.temperature,
            self.seed,
            self.n_samples,
            self.controls,
        )


class SteeredToken(Shape):
    """The event `token`."""

    sample: int
    side: Side
    text: str = Field(description="Empty for a piece of a character; the last piece holds it whole.")
    token_id: int


class RawStrength(Shape):
    index: int
    strength: float
    mode: Mode
    raw: float = Field(description="The strength as an activation: strength times max_activation.")
    max_activation: float


class SteeredText(Shape):
    side: Side
    sample: int
    seed: int
    text: str
    tokens: list[str]
    kl: list[float] = Field(description="As `kl` of the summary; empty for the base text.")


class ChangedToken(Shape):
    token: str
    token_id: int
    base: float = Field(description="Its probability after the prompt.")
    steered: float


class SteeringSummary(Shape):
    """The event `summary`."""

    base: str = Field(description="The first sample's text, written without steering.")
    steered: str
    kl: list[float] = Field(
        description="KL(steered || base) in nats at each token of the first sample's steered text: of the model's "
        "distribution with steering against the one without after the same tokens, whatever the temperature."
    )
    texts: list[SteeredText] = Field(description="Every sample's, then the controls'.")
    strengths: list[RawStrength]
    control_strengths: list[RawStrength]
    raised: list[ChangedToken]
    lowered: list[ChangedToken]
    relative_norm: float = Field(description="What is added over the activations' length, the mean over the prompt.")
    notes: list[str] = Field(description="What is out of the ordinary about these strengths.")
    tokens_per_second: float

    @classmethod
    def of(cls, summary: live.SteeringSummary) -> "SteeringSummary":
        texts = [SteeredText.model_validate(text) for text in summary.texts]
        base = next(text for text in texts if text.side is Side.BASE)
        steered = next(text for text in texts if text.side is Side.STEERED)
        return cls(
            base=base.text,
            steered=steered.text,
            kl=steered.kl,
            texts=texts,
            strengths=[RawStrength.model_validate(one) for one in summary.strengths],
            control_strengths=[RawStrength.model_validate(one) for one in summary.control_strengths],
            raised=[ChangedToken.model_validate(one) for one in summary.raised],
            lowered=[ChangedToken.model_validate(one) for one in summary.lowered],
            relative_norm=summary.relative_norm,
            notes=list(summary.notes),
            tokens_per_second=summary.tokens_per_second,
        )
