"""Keeps what a database of the newest schema holds, for the tests that upgrade it to later ones.

python -m tests.store.keep_schema

Run it in the commit that brings a new revision: it writes tests/store/schemas/REVISION.json.gz, a small dictionary with
labels and whatever else people store, as rows of every table that search does not make for itself.
"""

import base64
import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import inspect

from app.index.build import BuildOptions, build_index
from app.store.database import SCHEMA, Database
from app.store.labels import add_label
from tests.tiny import make_tiny

FOLDER = Path(__file__).parent / "schemas"
SENTENCES = 16


def keep() -> Path:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tiny = make_tiny(folder / "tiny")
        corpus = folder / "few.jsonl"
        corpus.write_text("".join(tiny.corpus.read_text().splitlines(keepends=True)[:: 48 // SENTENCES]))
        options: dict[str, Any] = {"model": str(tiny.model), "sae": str(tiny.sae), "corpus": [str(corpus)]}
        database = Database(f"sqlite:///{folder / 'x.db'}")
        made = build_index(
            BuildOptions(id="tiny", title="Tiny", context=32, force=True, **options), database, folder / "work"
        )
        with database.write() as session:
            add_label(session, made, 3, "about tennis", "Ada")
            add_label(session, made, 3, "tennis, and other games", "Ben")
            add_label(session, made, 4, "kitchen — café", "gpt-x", "gpt-x", 0.75)
        target = FOLDER / f"{SCHEMA}.json.gz"
        with gzip.GzipFile(target, "wb", mtime=0) as file:  # the same bytes for the same content
            file.write(json.dumps(rows_of(database), ensure_ascii=False, indent=0).encode())
        database.close()
    return target


def rows_of(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Every table's rows as JSON, bytes as {"base64": ...}; full-text tables and their parts are left out."""
    with database.engine.connect() as connection:
        virtual = [
            row[0]
            for row in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL%'")
        ]
        names = [
            name
            for name in inspect(connection).get_table_names()
            if name != "alembic_version" and not any(name == v or name.startswith(f"{v}_") for v in virtual)
        ]
        # As stored, and not as the types of a later version would read it.
        return {
            name: [
                {key: _plain(value) for key, value in row.items()}
                for row in connection.exec_driver_sql(f'SELECT * FROM "{name}"').mappings()
            ]
            for name in names
        }


def _plain(value: Any) -> Any:
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


if __name__ == "__main__":
    print(keep())
