"""A feature and every statistic of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from app.domain.values import Histogram

FIRINGS = (1, 2, 3, 5, 9, 17)  # the least firings of each class of sentences by how often a feature fires there

QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
TELLING = 3  # tokens that a feature without a label is called by


class TokenShare(NamedTuple):  # a tuple, as all that a feature has many of: a list of features reads hundreds
    """A token on which a feature fires: n of the feature's active tokens are it, `share` of them.

    n_occurrences: how often it stands in the corpus; None where the index does not say.
    """

    token: str
    token_id: int
    n: int
    share: float
    n_occurrences: int | None = None

    @property
    def own_share(self) -> float | None:
        """Of the token's own occurrences, on which share the feature fires."""
        return self.n / self.n_occurrences if self.n_occurrences else None


def telling_tokens(tokens: Sequence[TokenShare], n: int = TELLING) -> list[TokenShare]:
    """Those that tell most of a feature: by share of its firing times share of the token's own occurrences.

    The most frequent alone would be commas and articles for many. Where own shares are not known, these it is.
    """
    return sorted(tokens, key=_tellingness, reverse=True)[:n]


def _tellingness(token: TokenShare) -> float:
    return tellingness(token.n, token.n_occurrences)


def tellingness(n: int, n_occurrences: int | None = None) -> float:
    return n * n / n_occurrences if n_occurrences else 0.0


class MetadataShare(NamedTuple):
    """`n` of the sentences where a feature fires have this value of a field, `share` of them; `base` of all do."""

    field: str
    value: str
    n: int
    share: float
    base: float

    @property
    def lift(self) -> float:
        """How many times as frequent the value is where the feature fires."""
        return self.share / self.base if self.base else 0.0


class TokenLogit(NamedTuple):
    """A token that a feature promotes (logit above 0) or suppresses, through the final norm and the unembedding."""

    token: str
    token_id: int
    logit: float


@dataclass(frozen=True)
class Neighbor:
    """Another feature; value is the cosine of decoder directions, or the Jaccard share of sentences.

    top_tokens: the most telling that it fires on, where it has no label; none in a build, which knows neither.
    """

    index: int
    value: float
    label: str | None = None
    top_tokens: Sequence[TokenShare] = ()


class Quantile(NamedTuple):
    """`share` of the feature's active tokens have an activation of at most `value`."""

    share: float
    value: float


class Interval(NamedTuple):
    """One fifth of (0, max]: low < activation <= high; over active tokens and over sentences by their peak."""

    low: float
    high: float
    n_tokens: int
    n_sentences: int


@dataclass(frozen=True)
class NewFeature:
    """Every statistic of one feature over the corpus.

    mean_activation is over its active tokens; max_activation is 0 for a feature that never fired.
    histogram: of its activations over active tokens; intervals: five, weakest first; both empty where it never fired.
    n_first, n_last: active tokens at the first and the last place of their sentence. per_sentence: of the sentences
    where it fires, in how many it does so at least FIRINGS[i] times and fewer than FIRINGS[i + 1].
    encoder_cosine: between its encoder and its decoder direction, None where they lie in different spaces. An index
    from before these were kept has None, and no per_sentence and metadata.
    decoder_norm: L2 norm of its decoder row. promoted, suppressed: empty where the model has no unembedding.
    """

    index: int
    n_active_tokens: int
    n_active_sentences: int
    max_activation: float
    mean_activation: float
    top_tokens: Sequence[TokenShare]
    histogram: Histogram
    quantiles: Sequence[Quantile]
    intervals: Sequence[Interval]
    n_first: int | None
    n_last: int | None
    per_sentence: Sequence[int]
    metadata: Sequence[MetadataShare]
    decoder_norm: float
    encoder_cosine: float | None
    promoted: Sequence[TokenLogit]
    suppressed: Sequence[TokenLogit]
    similar: Sequence[Neighbor]
    opposite: Sequence[Neighbor]
    coactive: Sequence[Neighbor]


@dataclass(frozen=True)
class Feature(NewFeature):
    """One feature as stored, with what belongs to it beside the build: its name and its denominator."""

    label: str | None = field(kw_only=True)
    density: float = field(kw_only=True)
    n_tokens: int = field(kw_only=True)


@dataclass(frozen=True)
class FeatureSummary:
    """What a list shows of a feature. density: active over all unmasked tokens (n_active_tokens / n_tokens)."""

    index: int
    label: str | None
    density: float
    n_active_tokens: int
    n_active_sentences: int
    max_activation: float
    mean_activation: float
    top_tokens: Sequence[TokenShare]


class Topic(NamedTuple):
    """What a feature is about: `n` of its strongest examples, of which there are `of`, have this value of a field."""

    field: str
    value: str
    n: int
    of: int


@dataclass(frozen=True)
class ListedFeature(FeatureSummary):
    """A feature in a dictionary's list. topic: None where no value is shared by enough of its strongest examples."""

    topic: Topic | None
