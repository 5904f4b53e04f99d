"""Features: one whole, and what is shown of several."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from app.domain import Dictionary, Feature, FeatureSummary, TokenShare
from app.errors import NotFound
from app.store.blobs import read_statistics, unpack_statistics, unpack_top_tokens
from app.store.tables import FeatureRow, LabelRow
from app.store.visible import rows_of_build

# What lists show of a feature; the statistics are left where they are.
SUMMARY = (
    FeatureRow.index,
    FeatureRow.n_active_tokens,
    FeatureRow.n_active_sentences,
    FeatureRow.max_activation,
    FeatureRow.mean_activation,
    FeatureRow.top_tokens,
)
# Built once: building a statement anew for each page takes longer than running it.
_of_dictionary = FeatureRow.dictionary == bindparam("dictionary")
_indices: Any = bindparam("indices", expanding=True)
_WHOLE = select(*SUMMARY, FeatureRow.statistics).where(_of_dictionary, FeatureRow.index == bindparam("index"))
_SUMMARIES = select(*SUMMARY).where(_of_dictionary, FeatureRow.index.in_(_indices))
_TOP_TOKENS = select(FeatureRow.index, FeatureRow.top_tokens, FeatureRow.n_active_tokens).where(
    _of_dictionary, FeatureRow.index.in_(_indices)
)
_NAMES = select(LabelRow.feature, LabelRow.text).where(
    LabelRow.dictionary_id == bindparam("dictionary_id"), LabelRow.is_name, LabelRow.feature.in_(_indices)
)


def get_feature(session: Session, dictionary: Dictionary, index: int) -> Feature:
    """Every statistic of one feature. Raises NotFound."""
    # A number outside any integer column never reaches the database.
    row = None
    if 0 <= index < dictionary.n_features:
        row = rows_of_build(session, _WHOLE, {"dictionary": dictionary.key, "index": index}).first()
    if row is None:
        raise NotFound(f"{dictionary.id} has features 0 to {dictionary.n_features - 1}, not {index}.")
    statistics = read_statistics(row.statistics)
    names = feature_names(session, dictionary, [index, *statistics.neighbor_indices])
    return Feature(
        index=index,
        n_active_tokens=row.n_active_tokens,
        n_active_sentences=row.n_active_sentences,
        max_activation=row.max_activation,
        mean_activation=row.mean_activation,
        top_tokens=unpack_top_tokens(row.top_tokens, row.n_active_tokens),
        **unpack_statistics(statistics, row.max_activation, row.n_active_sentences, names),
        label=names.get(index),
        density=row.n_active_tokens / dictionary.n_tokens,
        n_tokens=dictionary.n_tokens,
    )


def feature_names(session: Session, dictionary: Dictionary, indices: Sequence[int]) -> dict[int, str]:
    """What features are called, by index; those without a label are left out."""
    asked = {"dictionary_id": dictionary.id, "indices": indices}
    return {row[0]: row[1] for row in rows_of_build(session, _NAMES, asked)}


def top_tokens_of(session: Session, dictionary: Dictionary, indices: Sequence[int]) -> dict[int, list[TokenShare]]:
    """The tokens that features fire on most, by index."""
    if not indices:
        return {}
    rows = rows_of_build(session, _TOP_TOKENS, {"dictionary": dictionary.key, "indices": indices})
    return {index: unpack_top_tokens(packed, n) for index, packed, n in rows}


def get_summaries(session: Session, dictionary: Dictionary, indices: Sequence[int]) -> dict[int, FeatureSummary]:
    """What lists show of these features, by index."""
    names = feature_names(session, dictionary, indices)
    rows = rows_of_build(session, _SUMMARIES, {"dictionary": dictionary.key, "indices": indices})
    return {row[0]: to_summary(row, names.get(row[0]), dictionary.n_tokens) for row in rows}


def to_summary(columns: Sequence[Any], label: str | None, n_tokens: int) -> FeatureSummary:
    """columns: the values of SUMMARY."""
    index, n_active_tokens, n_active_sentences, max_activation, mean_activation, top_tokens = columns
    return FeatureSummary(
        index=index,
        label=label,
        density=n_active_tokens / n_tokens,
        n_active_tokens=n_active_tokens,
        n_active_sentences=n_active_sentences,
        max_activation=max_activation,
        mean_activation=mean_activation,
        top_tokens=unpack_top_tokens(top_tokens, n_active_tokens),
    )
