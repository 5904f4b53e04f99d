"""A dictionary: one SAE indexed over one corpus, and how well the SAE does there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from app.domain.values import Histogram, Json


@dataclass(frozen=True)
class Quality:
    """How well the SAE does over the whole dictionary. None: not measured in this build.

    l0: active features a token, over unmasked tokens
    explained_variance: 1 - E|x - x_hat|^2 / E|x - E x|^2, over `n_tokens_sampled` unmasked tokens
    ce_recovered: (CE zeroed - CE spliced) / (CE zeroed - CE clean), over the same sentences
    dead_share, dense_share: features that never fired; features with density above 0.1
    """

    l0: float
    explained_variance: float | None
    ce_recovered: float | None
    dead_share: float
    dense_share: float
    n_tokens_sampled: int


CHANGED_UNDER_LABELS = "changed_under_labels"  # the parameter that a replacement adds


@dataclass(frozen=True)
class NewDictionary:
    """What a build knows of a dictionary before the store gives it a key.

    model, sae: names to show, never a path. model_source, sae_source: what the live side loads again, never shown.
    n_tokens: unmasked tokens, the denominator of density. n_masked_tokens: BOS, padding left out, special tokens.
    n_sentences counts every sentence, n_duplicates those whose text stood before.
    parameters: every build parameter, for the record.
    density_histogram: over log10 of the density of live features.
    """

    id: str
    title: str
    model: str
    model_source: str
    sae: str
    sae_source: str
    hook_point: str
    architecture: str
    d_in: int
    n_features: int
    n_sentences: int
    n_duplicates: int
    n_tokens: int
    n_masked_tokens: int
    corpus: Sequence[str]
    parameters: Mapping[str, Json]
    quality: Quality
    density_histogram: Histogram


@dataclass(frozen=True)
class Dictionary(NewDictionary):
    """One SAE indexed over one corpus, as stored. `key` is the store's own number of this build of it."""

    key: int = field(kw_only=True)
    created_at: datetime = field(kw_only=True)

    @property
    def changed_under_labels(self) -> Sequence[int]:
        """Features whose label was written for another decoder row (or for one that is gone), before a replacement."""
        return cast(Sequence[int], self.parameters.get(CHANGED_UNDER_LABELS, ()))
