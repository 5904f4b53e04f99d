"""Corpus files read as records, one at a time: text a line, JSON lines, CSV or Parquet, each also compressed."""

import csv
import glob
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from app.domain import Json
from app.engine.demo import DEMO, demo_folder
from app.errors import Invalid
from app.index.compression import OPENERS, READ_ERRORS, open_compressed
from app.index.parquet import parquet_rows

LINES = (".txt", ".jsonl", ".csv")
KINDS = (*LINES, ".parquet")
STANDARD_INPUT = "-"
TEXT = "text"
LONGEST = 10_000_000  # bytes of a line, characters of a text: their tokens take 150 to 400 bytes a character in memory
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Record:
    """One record of a corpus. read: bytes of the files taken so far, for progress."""

    text: str
    metadata: Mapping[str, Json]
    file: str
    line: int
    read: int


def corpus_files(sources: Sequence[str]) -> list[Path]:
    """The files, by name: in which order they are given changes nothing. Raises Invalid for one that cannot be used.

    `demo` and `seed` stand for the bundled corpora, and a pattern (data/*.jsonl) for the files that match it.
    """
    bundled = {DEMO: "corpus.jsonl", "seed": "seed_corpus.txt"}
    files = []
    for source in sources:
        file = Path(source).expanduser()
        if source in bundled and not file.is_file():
            files.append(demo_folder() / bundled[source])
        elif not file.exists() and any(sign in source for sign in "*?["):
            found = [Path(name) for name in glob.glob(str(file), recursive=True)]  # noqa: PTH207 - absolute patterns too
            if not found:
                raise Invalid(f"No corpus file matches {source}.")
            files += [one for one in found if one.is_file()]
        else:
            files.append(file)
    for file in files:
        _check_file(file)
    return sorted(files, key=lambda file: (file.name, str(file)))


def keep_standard_input(folder: Path, kind: str) -> Path:
    """Standard input as a file, so that a build of it too can go on where it stopped. kind: one of LINES."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"standard-input{kind}"
    with file.open("wb") as kept:
        shutil.copyfileobj(sys.stdin.buffer, kept, _BLOCK)
    return file


def digest(files: Sequence[Path]) -> str:
    """What the files hold, as one hash: a build goes on only over the same bytes."""
    made = hashlib.blake2b(digest_size=16)
    for file in files:
        with file.open("rb") as opened:
            while block := opened.read(_BLOCK):
                made.update(block)
        made.update(b"\0next")
    return made.hexdigest()


def read_records(files: Sequence[Path], column: str = TEXT) -> Iterator[Record]:
    """Every record with a text, in order; blank ones are left out. Raises Invalid naming file and line.

    column: what the text is called in JSON lines, CSV and Parquet; everything else of a record is its metadata.
    """
    before = 0
    for file in files:
        found = False
        for record in _read_file(file, column, before):
            found = True
            yield record
        if not found:
            empty = file.stat().st_size == 0
            raise Invalid(f"{file.name} is empty." if empty else f"{file.name} holds only blank lines.")
        before += file.stat().st_size


_Row = tuple[int, str, Mapping[str, Json]]  # line, text, metadata


def _check_file(file: Path) -> None:
    if not file.exists():
        raise Invalid(f"There is no corpus file {file}.")
    if file.is_dir():
        raise Invalid(f"{file} is a folder; name the corpus files in it, such as '{file}/*.jsonl'.")
    if _kind(file) not in KINDS:
        raise Invalid(f"{file}: a corpus file ends in {', '.join(KINDS)}, or one of these and {', '.join(OPENERS)}.")


def _kind(file: Path) -> str:
    return Path(file.stem).suffix if file.suffix in OPENERS else file.suffix


def _read_file(file: Path, column: str, before: int) -> Iterator[Record]:
    with file.open("rb") as raw:
        opened = open_compressed(file, raw) if file.suffix in OPENERS else raw
        for line, text, metadata in _rows(file, opened, column):
            if len(text) > LONGEST:
                raise _too_long(file, line, "characters")
            if not text.strip():
                continue
            if "\0" in text:
                raise Invalid(f"{file.name}, line {line}: the text holds a NUL byte; is this a text file?")
            if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
                raise Invalid(
                    f"{file.name}, line {line}: the text holds half of a surrogate pair, which is no character."
                )
            yield Record(text, metadata, file.name, line, before + raw.tell())


def _rows(file: Path, opened: IO[bytes], column: str) -> Iterator[_Row]:
    kind = _kind(file)
    if kind == ".parquet":
        return parquet_rows(file, opened, column)
    lines = _decoded_lines(file, opened)
    return _csv_rows(file, lines, column) if kind == ".csv" else _line_rows(file, lines, column)


def _decoded_lines(file: Path, opened: IO[bytes]) -> Iterator[str]:
    try:
        for number, line in enumerate(iter(lambda: opened.readline(LONGEST + 1), b""), 1):
            if len(line) > LONGEST:
                raise _too_long(file, number, "bytes")
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                byte = line[error.start]
                raise Invalid(
                    f"{file.name}, line {number}: byte 0x{byte:02X} is not UTF-8; save the file as UTF-8."
                ) from error
    except READ_ERRORS as error:
        raise Invalid(f"{file.name} cannot be read: {error}.") from error


def _too_long(file: Path, line: int, units: str) -> Invalid:
    return Invalid(
        f"{file.name}, line {line} is longer than {LONGEST:,} {units}, which is too much for one text; "
        "cut it into several records."
    )


def _line_rows(file: Path, lines: Iterator[str], column: str) -> Iterator[_Row]:
    as_json = _kind(file) == ".jsonl"
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\r\n")
        if not as_json:
            yield number, line, {}
        elif line.strip():
            yield number, *_json_record(f"{file.name}, line {number}", line, column)


def _json_record(where: str, line: str, column: str) -> tuple[str, Mapping[str, Json]]:
    try:
        record = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise Invalid(f"{where} is not JSON: {error}.") from error
    if not isinstance(record, dict) or not isinstance(record.get(column), str):
        raise Invalid(f'{where} has no "{column}" that is a string{_or_column(column)}.')
    return record.pop(column), record


def _csv_rows(file: Path, lines: Iterator[str], column: str) -> Iterator[_Row]:
    csv.field_size_limit(LONGEST)  # a quote that nothing closes makes one field of the whole file
    reader = csv.DictReader(lines, strict=True)
    try:
        if column not in (reader.fieldnames or ()):
            raise Invalid(f"{file.name}: the first line names no column {column!r}{_or_column(column)}.")
        for row in reader:
            text = row.pop(column)
            if text is None or None in row:
                raise Invalid(f"{file.name}, line {reader.line_num}: not as many columns as the first line names.")
            yield reader.line_num, text, {name: value for name, value in row.items() if value}
    except csv.Error as error:
        raise Invalid(f"{file.name}, line {reader.line_num + 1} is not CSV: {error}.") from error


def _or_column(column: str) -> str:
    return "; say what it is called with --text-column" if column == TEXT else ""
