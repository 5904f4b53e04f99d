"""The JSON shapes of features."""

from typing import Self

from pydantic import Field

from app import domain
from app.api.schemas.dictionaries import Histogram
from app.api.schemas.labels import Label
from app.api.schemas.shape import Shape


class TokenShare(Shape):
    token: str
    share: float = Field(description="Share of the feature's active tokens.")
    own_share: float | None = Field(description="Share of the token's own occurrences; null in an older index.")


class MetadataShare(Shape):
    field: str
    value: str
    n: int = Field(description="Sentences where the feature fires that have this value.")
    share: float = Field(description="Of the sentences where the feature fires.")
    base: float = Field(description="Of all sentences.")
    lift: float = Field(description="share / base.")


class FeatureSummary(Shape):
    index: int
    label: str | None
    density: float = Field(description="Active tokens over all unmasked tokens.")
    n_active_tokens: int
    n_active_sentences: int
    max_activation: float
    mean_activation: float = Field(description="Over active tokens.")
    top_tokens: list[TokenShare]


class Topic(Shape):
    field: str
    value: str
    n: int = Field(description="Of its strongest examples, how many have this value of the field.")
    of: int = Field(description="How many strongest examples it has.")


class ListedFeature(FeatureSummary):
    topic: Topic | None = Field(description="What it is about; null where no value is shared by enough examples.")


class FeatureList(Shape):
    features: list[ListedFeature]
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


class Feature(FeatureSummary):
    n_tokens: int = Field(description="Unmasked tokens of the corpus.")
    histogram: Histogram = Field(description="Of the activations at active tokens.")
    quantiles: list[Quantile]
    n_first: int | None = Field(description="Active tokens at the first place of their sentence.")
    n_last: int | None = Field(description="Active tokens at the last place of their sentence.")
    per_sentence: list[int] = Field(
        description="Sentences where it fires once, twice, 3 to 4, 5 to 8, 9 to 16 and more often."
    )
    metadata: list[MetadataShare]
    decoder_norm: float
    encoder_cosine: float | None = Field(description="Between encoder and decoder direction; null in a transcoder.")
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
            n_first=feature.n_first,
            n_last=feature.n_last,
            per_sentence=list(feature.per_sentence),
            metadata=[MetadataShare.model_validate(share) for share in feature.metadata],
            decoder_norm=feature.decoder_norm,
            encoder_cosine=feature.encoder_cosine,
            logits=Logits.model_validate(feature),
            neighbors=Neighbors(
                similar=[DirectionNeighbor.of(neighbor) for neighbor in feature.similar],
                opposite=[DirectionNeighbor.of(neighbor) for neighbor in feature.opposite],
                coactive=[CoactiveNeighbor.of(neighbor) for neighbor in feature.coactive],
            ),
            labels=[Label.model_validate(label) for label in labels],
        )
