"""Labels that stay where a dictionary is replaced, and whether the features that they name are still the same."""

import math
from collections.abc import Iterable, Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import CHANGED_UNDER_LABELS
from app.store.blobs import Statistics, read_statistics
from app.store.tables import DictionaryRow, FeatureRow, LabelRow

CLOSE = 0.02  # relative; what another device or precision moves is far less
MOST_ALIKE = 0.8  # of listed tokens or neighbours that must be there again: near ties change places at a list's end


def changed_under_labels(session: Session, old: DictionaryRow, new: DictionaryRow) -> list[int]:
    """Labelled features, ascending, whose decoder row is another one than when they were labelled, or is gone.

    The rows themselves are not stored; what an index computes from them alone is: their norm, the next tokens that
    they promote and suppress, and their cosines with the other rows. A label that was written since an earlier change
    speaks for the row that it saw.
    """
    labelled: dict[int, bool] = {}  # by feature: whether a label has been written since `old` came
    query = select(LabelRow.feature, LabelRow.changed_at).where(LabelRow.dictionary_id == new.id)
    for index, changed_at in session.execute(query):
        labelled[index] = labelled.get(index, False) or changed_at > old.created_at
    before, after = (_statistics(session, row.key, labelled) for row in (old, new))
    earlier = set(old.parameters.get(CHANGED_UNDER_LABELS, ()))
    return sorted(
        index
        for index, is_new in labelled.items()
        if index not in after
        or (index in before and not _is_same(before[index], after[index]))
        or (index in earlier and not is_new)
    )


def _statistics(session: Session, key: int, indices: Iterable[int]) -> dict[int, Statistics]:
    query = select(FeatureRow.index, FeatureRow.statistics)
    query = query.where(FeatureRow.dictionary == key, FeatureRow.index.in_(list(indices)))
    return {index: read_statistics(packed) for index, packed in session.execute(query)}


def _is_same(old: Statistics, new: Statistics) -> bool:
    logits = [{id: logit for _, id, logit in (*some.promoted, *some.suppressed)} for some in (old, new)]
    similar, opposite = ([dict(some.neighbors[place]) for some in (old, new)] for place in (0, 1))
    alike = all(_are_alike(*pair) for pair in (logits, similar, opposite))
    return alike and math.isclose(old.norm, new.norm, rel_tol=CLOSE)


def _are_alike(old: Mapping[int, float], new: Mapping[int, float]) -> bool:
    """By what is in both; lists that one of the indexes lacks say nothing."""
    if not old or not new:
        return True
    both = old.keys() & new.keys()
    scale = max(map(abs, old.values()))
    close = sum(math.isclose(old[key], new[key], rel_tol=CLOSE, abs_tol=CLOSE * scale) for key in both)
    return close >= MOST_ALIKE * min(len(old), len(new))
