"""Corpus files of every kind and compression, read as the same records."""

import bz2
import csv
import gzip
import io
import json
import lzma
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow
import pytest
import zstandard
from pyarrow import parquet

from app.errors import Invalid
from app.index.corpus import LONGEST, corpus_files, read_records
from tests.server import environment

RECORDS = [("One sentence.", "a"), ('Two, with "quotes"\nand a line', "b"), ("Drei – mit Ünïcödé 🎾", "c")]
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: zstandard.ZstdCompressor().compress(data),
}


Records = Sequence[tuple[str, str]]


def as_jsonl(column: str, records: Records = RECORDS) -> bytes:
    return b"".join(json.dumps({column: text, "topic": topic}).encode() + b"\n" for text, topic in records)


def as_csv(column: str, records: Records = RECORDS) -> bytes:
    made = io.StringIO()
    written = csv.writer(made)
    written.writerows([(column, "topic"), *records])
    return made.getvalue().encode()


def as_parquet(column: str, records: Records = RECORDS) -> bytes:
    made = io.BytesIO()
    texts, topics = zip(*records, strict=True)
    parquet.write_table(pyarrow.table({column: list(texts), "topic": list(topics)}), made)
    return made.getvalue()


KINDS = {".jsonl": as_jsonl, ".csv": as_csv, ".parquet": as_parquet}


@pytest.mark.parametrize("column", ["text", "body"])
@pytest.mark.parametrize("compression", list(COMPRESSIONS))
@pytest.mark.parametrize("kind", list(KINDS))
def test_records_are_the_same_in_every_kind_and_compression(
    tmp_path: Path, kind: str, compression: str, column: str
) -> None:
    file = tmp_path / f"corpus{kind}{compression}"
    file.write_bytes(COMPRESSIONS[compression](KINDS[kind](column)))
    found = list(read_records(corpus_files([str(file)]), column))
    assert [(record.text, record.metadata) for record in found] == [(t, {"topic": topic}) for t, topic in RECORDS]


@pytest.mark.parametrize("compression", list(COMPRESSIONS))
def test_a_text_file_is_a_record_a_line(tmp_path: Path, compression: str) -> None:
    file = tmp_path / f"corpus.txt{compression}"
    file.write_bytes(COMPRESSIONS[compression]("one\n\n  \ntwo é\r\nthree".encode()))
    assert [record.text for record in read_records([file])] == ["one", "two é", "three"]


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_column_that_is_not_there_is_named(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"corpus{kind}"
    file.write_bytes(KINDS[kind]("body"))
    with pytest.raises(Invalid, match="--text-column"):
        list(read_records([file]))


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_book_is_one_record(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"corpus{kind}"
    file.write_bytes(KINDS[kind]("text", [("One sentence.", "a"), ("word " * 100_000, "b")]))
    assert [len(record.text) for record in read_records([file])] == [13, 500_000]


@pytest.mark.parametrize("kind", [".jsonl", ".parquet"])
def test_a_text_too_long_for_memory_is_named(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"corpus{kind}"
    file.write_bytes(KINDS[kind]("text", [("One sentence.", "a"), ("a" * (LONGEST + 1), "b")]))
    with pytest.raises(Invalid, match=rf"{file.name}, line 2 is longer than 10,000,000 .*; cut it"):
        list(read_records([file]))


def test_a_quote_that_nothing_closes_does_not_take_a_csv_file_for_one_text(tmp_path: Path) -> None:
    file = tmp_path / "corpus.csv"
    file.write_text('text\n"one\n' + ("word " * 1000 + "\n") * 2100)
    with pytest.raises(Invalid, match=r"corpus\.csv, line 2 is not CSV: field larger than field limit"):
        list(read_records([file]))


def test_a_file_without_line_ends_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    file = tmp_path / "corpus.txt"
    with file.open("wb") as written:
        written.truncate(200_000_000)
    tracemalloc.start()
    with pytest.raises(Invalid, match=r"corpus\.txt, line 1 is longer than 10,000,000 bytes"):
        list(read_records([file]))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4 * LONGEST


@pytest.mark.parametrize("compression", [name for name in COMPRESSIONS if name])
def test_a_file_that_is_cut_off_is_one_sentence(tmp_path: Path, compression: str) -> None:
    file = tmp_path / f"corpus.txt{compression}"
    whole = COMPRESSIONS[compression]("".join(f"line {n} {n**5}\n" for n in range(20_000)).encode())
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Invalid, match=f"{file.name} cannot be read"):
        list(read_records([file]))


def test_parquet_that_is_damaged_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "corpus.parquet"
    file.write_bytes(as_parquet("text")[:-20])
    with pytest.raises(Invalid, match=r"corpus\.parquet cannot be read as Parquet"):
        list(read_records([file]))


def test_a_pattern_names_every_file_and_the_order_given_changes_nothing(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "c.jsonl"):
        (tmp_path / name).write_text("x")
    by_pattern = corpus_files([str(tmp_path / "*.txt")])
    assert [file.name for file in by_pattern] == ["a.txt", "b.txt"]
    assert corpus_files([str(tmp_path / "b.txt"), str(tmp_path / "a.txt")]) == by_pattern
    with pytest.raises(Invalid, match="No corpus file matches"):
        corpus_files([str(tmp_path / "*.csv")])
    with pytest.raises(Invalid, match=r"is a folder.*\*\.jsonl"):
        corpus_files([str(tmp_path)])


@pytest.mark.slow
def test_a_large_file_never_sits_in_memory(tmp_path: Path) -> None:
    file = tmp_path / "large.txt"
    line = "word " * 200 + "\n"
    with file.open("w") as written:
        for _ in range(400):
            written.write(line * 1000)  # 400 MB
    code = f"""
import resource
from pathlib import Path
from app.index.corpus import digest, read_records
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
file = Path({str(file)!r})
digest([file])
n = sum(1 for _ in read_records([file]))
print(n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    n_records, kilobytes = map(int, done.stdout.split())
    assert n_records == 400_000
    assert kilobytes < 30_000
