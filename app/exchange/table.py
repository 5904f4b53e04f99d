"""A dictionary's whole table, a row a feature, as CSV or Parquet: made piece by piece, however large."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

from app.domain import Dictionary, ListedFeature
from app.errors import Unavailable
from app.exchange.cells import guarded
from app.store.database import Database
from app.store.feature_list import NO_FILTER, list_features
from app.store.feature_order import Sort

ROWS_AT_ONCE = 2000
COLUMNS = (
    *("index", "label", "density", "n_active_tokens", "n_active_sentences", "max_activation", "mean_activation"),
    *("topic_field", "topic", "topic_share", "top_tokens"),
)


def csv_table(database: Database, dictionary: Dictionary) -> Iterator[str]:
    """topic_share: of its strongest examples, which have the topic. top_tokens: a JSON list."""
    piece = io.StringIO()
    writer = csv.writer(piece, lineterminator="\n")
    writer.writerow(COLUMNS)
    for features in _pieces(database, dictionary):
        for *values, tokens in map(_row, features):
            cells = [guarded(value) if isinstance(value, str) else value for value in values]
            writer.writerow([*cells, json.dumps(tokens, ensure_ascii=False)])
        yield piece.getvalue()
        piece.seek(0)
        piece.truncate()


def parquet_table(database: Database, dictionary: Dictionary) -> Iterator[bytes]:
    """A row group a piece. Raises Unavailable, at once, where the package for it is not installed."""
    try:
        import pyarrow
        from pyarrow.parquet import ParquetWriter
    except ImportError as error:
        raise Unavailable(
            "Parquet needs a package on the server: pip install 'featurescope[corpora]'. CSV works without."
        ) from error
    whole, text, real = pyarrow.int64(), pyarrow.string(), pyarrow.float64()
    kinds = (whole, text, real, whole, whole, real, real, text, text, real, pyarrow.list_(text))
    schema = pyarrow.schema(list(zip(COLUMNS, kinds, strict=True)))

    def written() -> Iterator[bytes]:
        sink = _Sink()
        with ParquetWriter(sink, schema) as writer:
            for features in _pieces(database, dictionary):
                columns = list(zip(*map(_row, features), strict=True))
                writer.write_table(pyarrow.table(dict(zip(COLUMNS, columns, strict=True)), schema=schema))
                yield sink.take()
        yield sink.take()

    return written()


class _Sink(io.RawIOBase):
    """Where a writer writes to, one piece after another taken away meanwhile."""

    def __init__(self) -> None:
        self._taken = 0
        self._waiting = bytearray()

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._taken + len(self._waiting)

    def write(self, data: Any) -> int:
        self._waiting += data
        return len(data)

    def take(self) -> bytes:
        piece = bytes(self._waiting)
        self._taken += len(piece)
        self._waiting.clear()
        return piece


def _pieces(database: Database, dictionary: Dictionary) -> Iterator[Sequence[ListedFeature]]:
    """Each read in a session of its own, so that somebody who reads slowly holds nothing up.

    Raises RuntimeError where the dictionary is replaced meanwhile: the file then breaks off instead of looking whole.
    """
    n, cursor = 0, None
    while True:
        with database.read() as session:
            found = list_features(session, dictionary, NO_FILTER, Sort.INDEX, cursor, ROWS_AT_ONCE)
        if found.items:
            yield found.items
        n, cursor = n + len(found.items), found.next
        if cursor is None:
            break
    if n != dictionary.n_features:
        raise RuntimeError(f"{dictionary.id} was replaced or removed while its table was being read")


def _row(feature: ListedFeature) -> tuple[Any, ...]:
    values = (feature.density, feature.n_active_tokens, feature.n_active_sentences, feature.max_activation)
    tokens = [token.token for token in feature.top_tokens]
    topic = feature.topic
    about = (topic.field, topic.value, topic.n / topic.of) if topic else (None, None, None)
    return (feature.index, feature.label, *values, feature.mean_activation, *about, tokens)
