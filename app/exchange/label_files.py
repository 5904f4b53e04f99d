"""Labels as files: CSV and JSON lines, read whole or not at all, and written a line at a time.

Columns, or keys: feature and text, which each line needs; author, source ('person' unless a model's name), score,
created_at (ISO 8601), starred_by (names; a JSON list in CSV).
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from app.domain import PERSON, LabelRecord
from app.errors import BadLines, Invalid
from app.exchange.cells import guarded, unguarded
from app.store.labels import checked_author, checked_text

FIELDS = ("feature", "text", "author", "source", "score", "created_at", "starred_by")
BETWEEN = (
    ",\t;"  # fields: as CSV has it, as cells are copied from a spreadsheet, as some countries' spreadsheets save it
)
UNSIGNED = "imported"  # the author of a line that names none
csv.field_size_limit(2**31 - 1)  # one line may be far too long; that is said of the line


class LabelFormat(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"


def read_labels(content: bytes, format: LabelFormat, n_features: int) -> list[LabelRecord]:
    """Every label of a file. Raises BadLines, which names every line that cannot be used."""
    text = decoded(content)
    lines = _csv_lines(text) if format is LabelFormat.CSV else _json_lines(text)
    records: list[LabelRecord] = []
    faults: dict[int, str] = {}
    for number, fields in lines:
        try:
            records.append(_record(fields, n_features))
        except Invalid as fault:
            faults[number] = str(fault).rstrip(".")
    if faults:
        raise BadLines(faults)
    return records


def decoded(content: bytes) -> str:
    """Raises BadLines."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadLines({line: "is not UTF-8; save the file as CSV in UTF-8"}) from error


def write_labels(records: Iterable[LabelRecord], format: LabelFormat) -> Iterator[str]:
    """The file, a line at a time."""
    if format is LabelFormat.JSONL:
        for record in records:
            yield json.dumps(_fields(record), ensure_ascii=False) + "\n"
        return
    line = io.StringIO()
    writer = csv.DictWriter(line, FIELDS, lineterminator="\n")
    writer.writeheader()
    for record in records:
        fields = {name: guarded(v) if isinstance(v, str) else v for name, v in _fields(record).items()}
        writer.writerow({**fields, "starred_by": json.dumps(fields["starred_by"], ensure_ascii=False)})
        yield line.getvalue()
        line.seek(0)
        line.truncate()
    yield line.getvalue()  # the heading, where there was no label


def _fields(record: LabelRecord) -> dict[str, Any]:
    return {
        "feature": record.feature,
        "text": record.text,
        "author": record.author,
        "source": record.source,
        "score": record.score,
        "created_at": record.created_at.isoformat() if record.created_at is not None else None,
        "starred_by": list(record.starred_by),
    }


def _csv_lines(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Each record with the line that it begins on."""
    between = max(BETWEEN, key=text[: text.find("\n")].count)
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="", strict=True, delimiter=between)
    begins = 1
    try:
        names = reader.fieldnames or []
        _check_names(names, needs=("feature", "text"))
        if doubled := [name for name in names if names.count(name) > 1]:
            raise Invalid(f"The file has the column {doubled[0]!r} twice.")
        begins = reader.line_num + 1
        for row in reader:
            yield begins, {name: unguarded(cell) if isinstance(cell, str) else cell for name, cell in row.items()}
            begins = reader.line_num + 1
    except csv.Error as error:
        raise BadLines({begins: f"is not CSV ({error}; is a quotation mark left open?)"}) from error


def _json_lines(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            fields = None
        yield number, fields if isinstance(fields, dict) else {"": line}


def _check_names(names: Iterable[str], needs: Iterable[str] = ()) -> None:
    known = ", ".join(FIELDS)
    if missing := [name for name in needs if name not in names]:
        raise Invalid(f"The file has no column {missing[0]!r}; its first line names the columns: {known}.")
    if unknown := [name for name in names if name not in FIELDS]:
        raise Invalid(f"The file has a column {unknown[0][:60]!r}; there are {known}.")


def _record(fields: Mapping[str, Any], n_features: int) -> LabelRecord:
    """Raises Invalid."""
    if "" in fields:
        raise Invalid("is not one label: it has more fields than columns, or is no JSON object")
    _check_names(fields)
    return LabelRecord(
        feature=_feature(fields.get("feature"), n_features),
        text=checked_text(_text("text", fields.get("text"))),
        author=checked_author(_text("author", fields.get("author")) or UNSIGNED),
        source=_text("source", fields.get("source")).strip() or PERSON,
        score=_score(fields.get("score")),
        created_at=_time(fields.get("created_at")),
        starred_by=_names(fields.get("starred_by")),
    )


def _feature(value: Any, n_features: int) -> int:
    text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not text.isascii() or not text.isdigit():
        raise Invalid(f"feature is {_shown(value)}, not a number")
    if len(text) > 9 or int(text) >= n_features:
        raise Invalid(f"there is no feature {_shown(value)}; there are 0 to {n_features - 1}")
    return int(text)


def _text(name: str, value: Any) -> str:
    if value is not None and not isinstance(value, str):
        raise Invalid(f"{name} is {_shown(value)}, not a text")
    return value or ""


def _score(value: Any) -> float | None:
    if value in (None, ""):
        return None
    try:
        score = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise Invalid(f"score is {_shown(value)}, not a number")
    return score


def _time(value: Any) -> datetime | None:
    if value in (None, ""):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except (ValueError, TypeError):
        raise Invalid(f"created_at is {_shown(value)}, not a time such as 2026-01-31T12:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _names(value: Any) -> tuple[str, ...]:
    if value in (None, ""):
        return ()
    try:
        names = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Invalid(f"starred_by is {_shown(value)}, not a list of names")
    return tuple(dict.fromkeys(checked_author(name) for name in names))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"
