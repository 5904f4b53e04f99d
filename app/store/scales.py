"""The scales of a dictionary's activations, read once and kept for the live side."""

import threading
from collections import OrderedDict
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import Dictionary
from app.scales import Scales
from app.store.blobs import unpack_quantiles
from app.store.tables import FeatureRow

KEPT = 8  # dictionaries; 24,576 features take 2 MB


def load_scales(session: Session, dictionary: Dictionary) -> Scales:
    """Quantiles, maxima and numbers of active tokens of every feature."""
    import numpy as np

    columns = select(FeatureRow.index, FeatureRow.n_active_tokens, FeatureRow.max_activation, FeatureRow.statistics)
    shares: tuple[float, ...] = ()
    known: dict[int, list[float]] = {}
    n_active = np.zeros(dictionary.n_features, dtype=np.int64)
    for index, n, top, packed in session.execute(columns.where(FeatureRow.dictionary == dictionary.key)):
        n_active[index] = n
        quantiles = unpack_quantiles(packed) if n else []
        if quantiles:
            shares = tuple(quantile.share for quantile in quantiles)
            known[index] = [*(quantile.value for quantile in quantiles), top]
    values = np.zeros((dictionary.n_features, len(shares) + 1))
    for index, knots in known.items():
        values[index] = knots
    return Scales(np.array([*shares, 1.0]), values, n_active, dictionary.n_tokens)


class KnownScales:
    """The scales of the dictionaries last asked for: every live answer needs them, and reading them takes a while."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[int, datetime], Scales] = OrderedDict()

    def of(self, session: Session, dictionary: Dictionary) -> Scales:
        build = (dictionary.key, dictionary.created_at)
        with self._lock:
            if build not in self._kept:
                self._kept[build] = load_scales(session, dictionary)
                if len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(build)
            return self._kept[build]
