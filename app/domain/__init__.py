"""The words of the field as frozen data, a file a noun. Standard library only: everything imports this."""

from app.domain.dictionary import (
    CHANGED_UNDER_LABELS,
    Dictionary,
    NewDictionary,
    Quality,
)
from app.domain.feature import (
    FIRINGS,
    QUANTILES,
    Feature,
    FeatureSummary,
    Interval,
    MetadataShare,
    Neighbor,
    NewFeature,
    Quantile,
    TokenLogit,
    TokenShare,
    telling_tokens,
)
from app.domain.label import (
    PERSON,
    ImportReport,
    Label,
    LabelAction,
    LabelChange,
    LabelRecord,
)
from app.domain.search import (
    SearchHit,
    SearchResults,
)
from app.domain.sentence import (
    INTERVAL_GROUPS,
    INTERVALS,
    Example,
    Group,
    Peak,
    Sentence,
    Token,
    TokenSpan,
)
from app.domain.values import (
    HISTOGRAM_BINS,
    Histogram,
    Json,
    Slice,
)

__all__ = [
    "CHANGED_UNDER_LABELS",
    "Dictionary",
    "Example",
    "FIRINGS",
    "Feature",
    "FeatureSummary",
    "Group",
    "HISTOGRAM_BINS",
    "Histogram",
    "INTERVALS",
    "INTERVAL_GROUPS",
    "ImportReport",
    "Interval",
    "Json",
    "Label",
    "LabelAction",
    "LabelChange",
    "LabelRecord",
    "MetadataShare",
    "Neighbor",
    "NewDictionary",
    "NewFeature",
    "PERSON",
    "Peak",
    "QUANTILES",
    "Quality",
    "Quantile",
    "SearchHit",
    "SearchResults",
    "Sentence",
    "Slice",
    "Token",
    "TokenLogit",
    "TokenShare",
    "telling_tokens",
    "TokenSpan",
]
