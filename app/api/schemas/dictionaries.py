"""The JSON shapes of dictionaries."""

from datetime import datetime

from pydantic import Field, JsonValue

from app.api.schemas.shape import Shape


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
