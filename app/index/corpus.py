"""Corpus files read as records, one at a time: text a line, JSON lines or CSV, each also compressed."""

import bz2
import csv
import gzip
import hashlib
import json
import lzma
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from app.domain import Json
from app.engine.demo import DEMO, demo_folder
from app.errors import Invalid

OPENERS: Mapping[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
KINDS = (".txt", ".jsonl", ".csv")
TEXT = "text"
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
    """The files, `demo` and `seed` standing for the bundled corpora. Raises Invalid for one that cannot be used."""
    bundled = {DEMO: "corpus.jsonl", "seed": "seed_corpus.txt"}
    files = []
    for source in sources:
        file = Path(source).expanduser()
        if source in bundled and not file.is_file():
            file = demo_folder() / bundled[source]
        if not file.exists():
            raise Invalid(f"There is no corpus file {source}.")
        if file.is_dir():
            raise Invalid(f"{source} is a folder; name the corpus files in it.")
        if _kind(file) not in KINDS:
            raise Invalid(
                f"{source}: a corpus file ends in {', '.join(KINDS)}, or one of these and {', '.join(OPENERS)}."
            )
        files.append(file)
    return files


def digest(files: Sequence[Path]) -> str:
    """What the files hold, as one hash: a build goes on only over the same bytes."""
    made = hashlib.blake2b(digest_size=16)
    for file in files:
        with file.open("rb") as opened:
            while block := opened.read(_BLOCK):
                made.update(block)
        made.update(b"\0next")
    return made.hexdigest()


def read_records(files: Sequence[Path]) -> Iterator[Record]:
    """Every record with a text, in order; blank ones are left out. Raises Invalid naming file and line."""
    before = 0
    for file in files:
        found = False
        for record in _read_file(file, before):
            found = True
            yield record
        if not found:
            empty = file.stat().st_size == 0
            raise Invalid(f"{file.name} is empty." if empty else f"{file.name} holds only blank lines.")
        before += file.stat().st_size


def _kind(file: Path) -> str:
    return Path(file.stem).suffix if file.suffix in OPENERS else file.suffix


def _read_file(file: Path, before: int) -> Iterator[Record]:
    with file.open("rb") as raw:
        opened = OPENERS[file.suffix](raw, "rb") if file.suffix in OPENERS else raw
        lines = _decoded_lines(file, opened)
        rows = _csv_rows(file, lines) if _kind(file) == ".csv" else _line_rows(file, lines)
        for line, text, metadata in rows:
            if not text.strip():
                continue
            if "\0" in text:
                raise Invalid(f"{file.name}, line {line}: the text holds a NUL byte; is this a text file?")
            if any("\ud800" <= character <= "\udfff" for character in text):
                raise Invalid(
                    f"{file.name}, line {line}: the text holds half of a surrogate pair, which is no character."
                )
            yield Record(text, metadata, file.name, line, before + raw.tell())


def _decoded_lines(file: Path, opened: IO[bytes]) -> Iterator[str]:
    try:
        for number, line in enumerate(opened, 1):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                byte = line[error.start]
                raise Invalid(
                    f"{file.name}, line {number}: byte 0x{byte:02X} is not UTF-8; save the file as UTF-8."
                ) from error
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise Invalid(f"{file.name} cannot be read: {error}.") from error


def _line_rows(file: Path, lines: Iterator[str]) -> Iterator[tuple[int, str, Mapping[str, Json]]]:
    as_json = _kind(file) == ".jsonl"
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\r\n")
        if not as_json:
            yield number, line, {}
        elif line.strip():
            yield number, *_json_record(f"{file.name}, line {number}", line)


def _json_record(where: str, line: str) -> tuple[str, Mapping[str, Json]]:
    try:
        record = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise Invalid(f"{where} is not JSON: {error}.") from error
    if not isinstance(record, dict) or not isinstance(record.get(TEXT), str):
        raise Invalid(f'{where} has no "{TEXT}" that is a string.')
    return record.pop(TEXT), record


def _csv_rows(file: Path, lines: Iterator[str]) -> Iterator[tuple[int, str, Mapping[str, Json]]]:
    reader = csv.DictReader(lines, strict=True)
    try:
        if TEXT not in (reader.fieldnames or ()):
            raise Invalid(f"{file.name}: the first line names no column {TEXT!r}.")
        for row in reader:
            text = row.pop(TEXT)
            if text is None or None in row:
                raise Invalid(f"{file.name}, line {reader.line_num}: not as many columns as the first line names.")
            yield reader.line_num, text, {name: value for name, value in row.items() if value}
    except csv.Error as error:
        raise Invalid(f"{file.name}, line {reader.line_num} is not CSV: {error}.") from error
