"""The JSON shapes of version 1. Every number is finite; what was not measured is null."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from app import domain


class Shape(BaseModel):
    """Made from a domain object whose attributes have the same names; a NaN anywhere in it is an error."""

    model_config = ConfigDict(frozen=True, from_attributes=True, allow_inf_nan=False)


class Problem(Shape):
    """An error, as RFC 9457 has it. `detail` says what was wrong and what to do."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


class Quality(Shape):
    l0: float = Field(description="Active features a token, over unmasked tokens.")
    explained_variance: float | None = Field(description="1 - E|x - x_hat|^2 / E|x - E x|^2 over a sample of tokens.")
    ce_recovered: float | None = Field(
        description="(CE zeroed - CE spliced) / (CE zeroed - CE clean) over the same sample."
    )
    dead_share: float = Field(description="Share of the features that never fired.")
    dense_share: float = Field(description="Share of the features with density above 0.1.")


class Dictionary(Shape):
    id: str
    title: str
    model: str
    hook_point: str
    architecture: str
    d_in: int
    n_features: int
    n_sentences: int
    n_tokens: int = Field(description="Unmasked tokens: what every density is over.")
    created_at: datetime
    quality: Quality


class DictionaryList(Shape):
    dictionaries: list[Dictionary]


class Histogram(Shape):
    edges: list[float]
    counts: list[int] = Field(description="counts[i] values v with edges[i] < v <= edges[i + 1].")


class DictionaryDetail(Dictionary):
    sae: str
    n_duplicates: int = Field(description="Sentences whose text stood before in the corpus.")
    n_masked_tokens: int = Field(description="Special tokens, which no statistic sees.")
    corpus: list[str]
    parameters: dict[str, JsonValue] = Field(description="Every parameter of the build.")
    density_histogram: Histogram = Field(description="Live features by log10 of their density.")


class TokenShare(Shape):
    token: str
    share: float = Field(description="Share of the feature's active tokens.")


class FeatureSummary(Shape):
    index: int
    label: str | None
    density: float = Field(description="Active tokens over all unmasked tokens.")
    n_active_tokens: int
    n_active_sentences: int
    max_activation: float
    mean_activation: float = Field(description="Over active tokens.")
    top_tokens: list[TokenShare]


class FeatureList(Shape):
    features: list[FeatureSummary]
    next: str | None = Field(description="The cursor of the page after this one; null on the last.")
    total: int = Field(description="Features in the whole list.")


class Quantile(Shape):
    share: float
    value: float = Field(description="At least `share` of the feature's active tokens are at most this.")


class TokenLogit(Shape):
    token: str
    token_id: int
    logit: float


class Logits(Shape):
    promoted: list[TokenLogit]
    suppressed: list[TokenLogit]


class DirectionNeighbor(Shape):
    index: int
    label: str | None
    cosine: float = Field(description="Between the two decoder directions.")

    @classmethod
    def of(cls, neighbor: domain.Neighbor) -> Self:
        return cls(index=neighbor.index, label=neighbor.label, cosine=neighbor.value)


class CoactiveNeighbor(Shape):
    index: int
    label: str | None
    jaccard: float = Field(description="Sentences where both fire over sentences where either does.")

    @classmethod
    def of(cls, neighbor: domain.Neighbor) -> Self:
        return cls(index=neighbor.index, label=neighbor.label, jaccard=neighbor.value)


class Neighbors(Shape):
    similar: list[DirectionNeighbor]
    opposite: list[DirectionNeighbor]
    coactive: list[CoactiveNeighbor]


class Label(Shape):
    id: int
    text: str
    author: str
    source: str = Field(description="'person', or the name of the model that wrote it.")
    score: float | None
    created_at: datetime


class Feature(FeatureSummary):
    n_tokens: int = Field(description="Unmasked tokens of the corpus.")
    histogram: Histogram = Field(description="Of the activations at active tokens.")
    quantiles: list[Quantile]
    decoder_norm: float
    logits: Logits
    neighbors: Neighbors
    labels: list[Label]

    @classmethod
    def of(cls, feature: domain.Feature, labels: list[domain.Label]) -> Self:
        return cls(
            **FeatureSummary.model_validate(feature).model_dump(),
            n_tokens=feature.n_tokens,
            histogram=Histogram.model_validate(feature.histogram),
            quantiles=[Quantile.model_validate(quantile) for quantile in feature.quantiles],
            decoder_norm=feature.decoder_norm,
            logits=Logits.model_validate(feature),
            neighbors=Neighbors(
                similar=[DirectionNeighbor.of(neighbor) for neighbor in feature.similar],
                opposite=[DirectionNeighbor.of(neighbor) for neighbor in feature.opposite],
                coactive=[CoactiveNeighbor.of(neighbor) for neighbor in feature.coactive],
            ),
            labels=[Label.model_validate(label) for label in labels],
        )


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


class LabelWritten(BaseModel):
    """What a person calls a feature."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str = Field(min_length=1, max_length=500)
    author: str = Field(min_length=1, max_length=100)


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
