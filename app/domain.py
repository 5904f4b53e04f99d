"""The words of the field as frozen data. Standard library only: everything imports this, it imports nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Generic, NamedTuple, TypeAlias, TypeVar

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
T = TypeVar("T")

INTERVALS = 5
FIRINGS = (1, 2, 3, 5, 9, 17)  # the least firings of each class of sentences by how often a feature fires there
HISTOGRAM_BINS = 20
QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
PERSON = "person"  # the source of a label that no model wrote


class Group(StrEnum):
    """Why an example is shown for a feature."""

    TOP = "top"
    INTERVAL_1 = "interval-1"  # the weakest fifth of (0, max]
    INTERVAL_2 = "interval-2"
    INTERVAL_3 = "interval-3"
    INTERVAL_4 = "interval-4"
    INTERVAL_5 = "interval-5"
    SILENT = "silent"  # the feature never fires
    CONTRAST = "contrast"  # holds the feature's favourite token, yet the feature stays silent


INTERVAL_GROUPS = (Group.INTERVAL_1, Group.INTERVAL_2, Group.INTERVAL_3, Group.INTERVAL_4, Group.INTERVAL_5)


@dataclass(frozen=True)
class Slice(Generic[T]):
    """One page of a list: `next` is the cursor of the page after it, `total` counts the whole list."""

    items: Sequence[T]
    next: str | None
    total: int


@dataclass(frozen=True)
class Histogram:
    """counts[i] values v with edges[i] < v <= edges[i + 1]; len(edges) == len(counts) + 1."""

    edges: Sequence[float]
    counts: Sequence[int]


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


class TokenSpan(NamedTuple):  # a tuple: a page makes thousands
    """A token's place in its text, in characters: text[start:end]. A token inside a character has start == end."""

    start: int
    end: int


class Token(NamedTuple):
    """One token of a shown sentence. text == sentence text[start:end]."""

    text: str
    start: int
    end: int
    activation: float


@dataclass(frozen=True)
class Peak:
    """Where a feature is strongest in one sentence. position: index into the sentence's tokens."""

    position: int
    token: str
    activation: float


@dataclass(frozen=True)
class Sentence:
    """One record of the corpus, or one window of a longer record, as stored.

    number: place in the corpus, counting every sentence (duplicates too, which are not stored: the first is).
    record, offset: which record of the corpus it came from, and at which character of it this window begins.
    spans: one per token, special tokens such as BOS left out; in ascending order; they cover the text.
    """

    number: int
    text: str
    spans: Sequence[TokenSpan]
    metadata: Mapping[str, Json]
    record: int
    offset: int


@dataclass(frozen=True)
class Example:
    """One example ready to be shown: every token with its activation."""

    group: Group
    rank: int
    sentence: int
    text: str
    peak: Peak | None
    tokens: Sequence[Token]
    metadata: Mapping[str, Json]
    offset: int


@dataclass(frozen=True)
class TokenShare:
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


@dataclass(frozen=True)
class MetadataShare:
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


@dataclass(frozen=True)
class TokenLogit:
    """A token that a feature promotes (logit above 0) or suppresses, through the final norm and the unembedding."""

    token: str
    token_id: int
    logit: float


@dataclass(frozen=True)
class Neighbor:
    """Another feature; value is the cosine of decoder directions, or the Jaccard share of sentences."""

    index: int
    value: float
    label: str | None = None


@dataclass(frozen=True)
class Quantile:
    """`share` of the feature's active tokens have an activation of at most `value`."""

    share: float
    value: float


@dataclass(frozen=True)
class Interval:
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
class Label:
    """A short description of a feature, with where it came from.

    author: who wrote the text as it is now; source: PERSON, or the model's name. version: one more with every change
    of the text. starred_by: who finds it good.
    """

    id: int
    text: str
    author: str
    source: str
    score: float | None
    created_at: datetime
    changed_at: datetime
    version: int
    starred_by: Sequence[str]

    @property
    def stars(self) -> int:
        return len(self.starred_by)


@dataclass(frozen=True)
class LabelRecord:
    """A label as a file holds it. created_at: None for now."""

    feature: int
    text: str
    author: str
    source: str
    score: float | None
    created_at: datetime | None
    starred_by: Sequence[str]


@dataclass(frozen=True)
class ImportReport:
    """Labels of a file that were (or would be) added or given another score, that were there, and stars given."""

    added: int
    changed: int
    unchanged: int
    starred: int


class LabelAction(StrEnum):
    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"
    RESTORED = "restored"


@dataclass(frozen=True)
class LabelChange:
    """One change of one label. text, author, source: as it was afterwards (before, where it was removed)."""

    id: int
    label: int
    action: LabelAction
    by: str
    at: datetime
    text: str
    author: str
    source: str


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


@dataclass(frozen=True)
class Feature(NewFeature):
    """One feature as stored, with what belongs to it beside the build: its name and its denominator."""

    label: str | None = field(kw_only=True)
    density: float = field(kw_only=True)
    n_tokens: int = field(kw_only=True)


@dataclass(frozen=True)
class SearchHit:
    """A feature that a search found. matched: label, token, text or metadata; snippet: what the words stand in.

    marks: ascending (start, end) of the snippet, the words that were looked for. n_examples: how many of its
    strongest examples hold them, of those that the search read; where metadata matched, how many have them there.
    """

    dictionary: str
    index: int
    label: str | None
    matched: str
    snippet: str
    marks: Sequence[tuple[int, int]]
    n_examples: int


@dataclass(frozen=True)
class SearchResults:
    """kinds, dictionaries: features by what matched and by dictionary id, whatever of them is asked for.

    is_complete: false where the words are so common that only the strongest examples with them were read; numbers are
    then lower bounds.
    """

    hits: Slice[SearchHit]
    kinds: Mapping[str, int]
    dictionaries: Mapping[str, int]
    is_complete: bool
