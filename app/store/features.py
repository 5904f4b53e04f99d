"""Features: one whole, and what is shown of several."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from app.domain import Dictionary, Feature, FeatureSummary, Neighbor
from app.errors import NotFound
from app.store.blobs import read_statistics, unpack_statistics, unpack_telling_tokens, unpack_top_tokens
from app.store.number_lists import among
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
_WHOLE = select(*SUMMARY, FeatureRow.statistics).where(_of_dictionary, FeatureRow.index == bindparam("index"))
_SUMMARIES = select(*SUMMARY).where(_of_dictionary, among(FeatureRow.index, "indices"))
_NAMES = select(LabelRow.feature, LabelRow.text).where(
    LabelRow.dictionary_id == bindparam("dictionary_id"), LabelRow.is_name, among(LabelRow.feature, "indices")
)
_is_name = (
    (LabelRow.dictionary_id == bindparam("dictionary_id")) & (LabelRow.feature == FeatureRow.index) & LabelRow.is_name
)
# What features are called by: the label, or the tokens that they fire on most.
_NAMED = (
    select(FeatureRow.index, FeatureRow.n_active_tokens, FeatureRow.top_tokens, LabelRow.text)
    .outerjoin(LabelRow, _is_name)
    .where(_of_dictionary, among(FeatureRow.index, "indices"))
)


def get_feature(session: Session, dictionary: Dictionary, index: int, n_neighbors: int | None = None) -> Feature:
    """Every statistic of one feature. n_neighbors: of each kind, None for all. Raises NotFound."""
    # A number outside any integer column never reaches the database.
    row = None
    if 0 <= index < dictionary.n_features:
        row = rows_of_build(session, _WHOLE, {"dictionary": dictionary.key, "index": index}).first()
    if row is None:
        raise NotFound(f"{dictionary.id} has features 0 to {dictionary.n_features - 1}, not {index}.")
    statistics = read_statistics(row.statistics)
    near = [group[:n_neighbors] for group in statistics.neighbors]
    others = sorted({other for group in near for other, _ in group})
    asked = {"dictionary": dictionary.key, "dictionary_id": dictionary.id, "indices": [index, *others]}
    names = {named[0]: named for named in rows_of_build(session, _NAMED, asked).all()}
    neighbors = [[_to_neighbor(names[other], value) for other, value in group] for group in near]
    return Feature(
        index=index,
        n_active_tokens=row.n_active_tokens,
        n_active_sentences=row.n_active_sentences,
        max_activation=row.max_activation,
        mean_activation=row.mean_activation,
        top_tokens=unpack_top_tokens(row.top_tokens, row.n_active_tokens),
        **unpack_statistics(statistics, row.max_activation, row.n_active_sentences, neighbors),
        label=names[index].text,
        density=row.n_active_tokens / dictionary.n_tokens,
        n_tokens=dictionary.n_tokens,
    )


def _to_neighbor(named: Any, value: float) -> Neighbor:
    """named: a row of _NAMED."""
    index, n_active_tokens, top_tokens, label = named
    return Neighbor(index, value, label, unpack_telling_tokens(top_tokens, n_active_tokens) if label is None else ())


def feature_names(session: Session, dictionary: Dictionary, indices: Sequence[int]) -> dict[int, str]:
    """What features are called, by index; those without a label are left out."""
    asked = {"dictionary_id": dictionary.id, "indices": indices}
    return {row[0]: row[1] for row in rows_of_build(session, _NAMES, asked).all()}


def get_summaries(session: Session, dictionary: Dictionary, indices: Sequence[int]) -> dict[int, FeatureSummary]:
    """What lists show of these features, by index."""
    names = feature_names(session, dictionary, indices)
    rows = rows_of_build(session, _SUMMARIES, {"dictionary": dictionary.key, "indices": indices}).all()
    return {row[0]: to_summary(row, names.get(row[0]), dictionary.n_tokens) for row in rows}


def to_summary(columns: Sequence[Any], label: str | None, n_tokens: int) -> FeatureSummary:
    """columns: the values of SUMMARY."""
    return FeatureSummary(**summary_values(columns, label, n_tokens))


def summary_values(columns: Sequence[Any], label: str | None, n_tokens: int) -> dict[str, Any]:
    """What FeatureSummary is made of, by name."""
    index, n_active_tokens, n_active_sentences, max_activation, mean_activation, top_tokens = columns
    return {
        "index": index,
        "label": label,
        "density": n_active_tokens / n_tokens,
        "n_active_tokens": n_active_tokens,
        "n_active_sentences": n_active_sentences,
        "max_activation": max_activation,
        "mean_activation": mean_activation,
        "top_tokens": unpack_top_tokens(top_tokens, n_active_tokens),
    }
