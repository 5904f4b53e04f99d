"""A dictionary's rows as plain values, so that two builds of one dictionary can be held against each other."""

import sqlite3
from pathlib import Path
from typing import Any

TABLES = ("sentences", "features", "feature_tokens", "feature_examples", "topics", "feature_topics")
# Which build it was, when, and with how many tokens at once: of these nothing else depends.
INCIDENTAL = {"key", "created_at", "dictionary"}


def rows(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every published dictionary, without what says which build it was."""
    with sqlite3.connect(path) as connection:
        found = {name: _rows(connection, name) for name in TABLES}
        found["searched_sentences"] = _rows(connection, "searched_sentences", ("id",))
        found["dictionaries"] = _rows(connection, "dictionaries", ("parameters",))
    return found


def same_rows(one: Path, other: Path) -> bool:
    left, right = rows(one), rows(other)
    for name in left:
        for a, b in zip(left[name], right[name], strict=False):
            assert a == b, f"{name} differ"
        assert len(left[name]) == len(right[name]), f"{name}: {len(left[name])} and {len(right[name])} rows"
    return True


def _rows(connection: sqlite3.Connection, table: str, without: tuple[str, ...] = ()) -> list[tuple[Any, ...]]:
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    kept = ", ".join(f'"{name}"' for name in columns if name not in INCIDENTAL and name not in without)
    return sorted(connection.execute(f"SELECT {kept} FROM {table}"), key=repr)
