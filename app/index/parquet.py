"""Parquet files as rows of text and metadata, some rows in memory at a time."""

import datetime
import decimal
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from app.domain import Json
from app.errors import Invalid

ROWS = 1024  # decoded at once


def parquet_rows(file: Path, opened: IO[bytes], column: str) -> Iterator[tuple[int, str, Mapping[str, Json]]]:
    """Row number from 1, text and the other columns. Raises Invalid naming the file, and the columns it has."""
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise Invalid(f"{file.name}: .parquet needs a package: pip install 'featurescope[corpora]'.") from error
    try:
        with tempfile.TemporaryFile() as whole:
            table = ParquetFile(opened if file.suffix == ".parquet" else _copied(opened, whole))
            if column not in table.schema_arrow.names:
                listed = ", ".join(table.schema_arrow.names)
                raise Invalid(f"{file.name} has no column {column!r}; --text-column takes one of {listed}.")
            number = 0
            for batch in table.iter_batches(ROWS):
                for row in batch.to_pylist():
                    number += 1
                    text = row.pop(column)
                    if text is None:
                        continue
                    if not isinstance(text, str):
                        raise Invalid(f"{file.name}: the column {column!r} holds {type(text).__name__}, not text.")
                    yield number, text, {name: _json(value) for name, value in row.items() if value is not None}
    except pyarrow.ArrowException as error:
        raise Invalid(f"{file.name} cannot be read as Parquet: {str(error).splitlines()[0]}.") from error


def _copied(opened: IO[bytes], whole: IO[bytes]) -> IO[bytes]:
    """Parquet is read from its end: what a compressed stream gives goes to the file `whole` first."""
    shutil.copyfileobj(opened, whole, 1 << 20)
    whole.seek(0)
    return whole


def _json(value: Any) -> Json:
    """A value as JSON has it: times and numbers of other kinds as text, bytes left out."""
    if isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_json(one) for one in value]
    if isinstance(value, dict):
        return {str(name): _json(one) for name, one in value.items()}
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    return str(value) if isinstance(value, decimal.Decimal | datetime.timedelta) else None
