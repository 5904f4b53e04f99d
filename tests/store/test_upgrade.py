"""A database made by any earlier version opens with everything that people wrote in it."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from fastapi.testclient import TestClient
from sqlalchemy import JSON, DateTime, Engine, MetaData, create_engine, insert, select
from sqlalchemy.dialects import postgresql

from app.domain import Group
from app.main import create_app
from app.settings import Settings
from app.settings import database_url as url_of
from app.store.check import check_database
from app.store.database import MIGRATIONS, SCHEMA, Database
from app.store.dictionaries import get_dictionary
from app.store.example_blobs import PackedExamples
from app.store.examples import examples_of_sentence, list_examples
from app.store.feature_list import NO_FILTER, list_features
from app.store.feature_order import Sort
from app.store.tables import FeatureExamplesRow
from tests.store.keep_schema import FOLDER

pytestmark = pytest.mark.slow


def migrations() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


EARLIER = sorted(
    revision.revision
    for revision in ScriptDirectory.from_config(migrations()).walk_revisions()
    if revision.revision != SCHEMA
)


def make_earlier(url: str, revision: str) -> None:
    """The database as that version left it: its own tables, and the rows that were kept from it."""
    engine = create_engine(url_of(url))
    with engine.begin() as connection:
        config = migrations()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    rows = kept_rows(revision)
    metadata = MetaData()
    metadata.reflect(engine)
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            if kept := rows.get(table.name):
                values = [{name: _stored(engine, table.c[name].type, v) for name, v in row.items()} for row in kept]
                connection.execute(insert(table), values)
                if engine.dialect.name == "postgresql" and table.name in (
                    "labels",
                    "label_changes",
                    "tokens",
                    "audit",
                ):
                    # Numbers go on where they were.
                    numbers = f"pg_get_serial_sequence('{table.name}', 'id')"
                    connection.exec_driver_sql(f"SELECT setval({numbers}, max(id)) FROM {table.name}")
    engine.dispose()


def _stored(engine: Engine, kind: Any, value: Any) -> Any:
    if isinstance(value, dict):
        return base64.b64decode(value["base64"])
    if isinstance(kind, JSON) and isinstance(value, str):
        return json.loads(value)
    if isinstance(kind, DateTime | postgresql.TIMESTAMP) and value is not None:
        from datetime import UTC, datetime

        moment = datetime.fromisoformat(value)
        return moment if engine.dialect.name == "sqlite" else moment.replace(tzinfo=UTC)
    if engine.dialect.name == "postgresql" and str(kind) == "BOOLEAN":
        return bool(value)
    return value


def kept_rows(revision: str) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = json.loads(gzip.decompress((FOLDER / f"{revision}.json.gz").read_bytes()))
    return rows


@pytest.fixture(params=EARLIER)
def upgraded(request: pytest.FixtureRequest, database_url: str) -> str:
    make_earlier(database_url, request.param)
    return database_url


def test_every_schema_is_kept() -> None:
    missing = [revision for revision in (*EARLIER, SCHEMA) if not (FOLDER / f"{revision}.json.gz").is_file()]
    assert missing == [], "run python -m tests.store.keep_schema in the commit that brings a revision"


def test_an_earlier_database_opens_with_its_labels(upgraded: str) -> None:
    with TestClient(create_app(Settings(db=upgraded, model=False))) as client:
        (dictionary,) = client.get("/api/v1/dictionaries").json()["dictionaries"]
        assert dictionary["id"] == "tiny"
        feature = client.get("/api/v1/dictionaries/tiny/features/3").json()
        assert [(label["text"], label["author"]) for label in feature["labels"]] == [
            ("tennis, and other games", "Ben"),
            ("about tennis", "Ada"),
        ]
        assert feature["label"] == "tennis, and other games"
        by_model = client.get("/api/v1/dictionaries/tiny/features/4").json()["labels"][0]
        assert (by_model["text"], by_model["source"], by_model["score"]) == ("kitchen — café", "gpt-x", 0.75)
        for address in ("/", "/dictionaries/tiny", "/dictionaries/tiny/features/3", "/search?q=tennis"):
            assert client.get(address).status_code == 200, address
        assert client.get("/api/v1/search?q=tennis").json()["total"] > 0
        made = client.post("/api/v1/dictionaries/tiny/features/5/labels", json={"text": "since then", "author": "Eva"})
        assert made.status_code == 201


def test_an_earlier_database_is_sound_after_the_upgrade(upgraded: str) -> None:
    database = Database(url_of(upgraded))
    assert list(check_database(database, False, lambda done, total: None)) == []
    database.close()


@pytest.mark.parametrize("revision", [revision for revision in EARLIER if "examples" in kept_rows(revision)])
def test_examples_are_the_same_after_they_were_packed(revision: str, database_url: str) -> None:
    make_earlier(database_url, revision)
    rows = kept_rows(revision)
    columns = ("feature", "group", "rank", "sentence", "peak")
    before = sorted(tuple(row[name] for name in columns) for row in rows["examples"])
    database = Database(url_of(database_url))
    found = []
    with database.read() as session:
        for feature, packed in session.execute(select(FeatureExamplesRow.feature, FeatureExamplesRow.packed)):
            own = PackedExamples(packed)
            for i, sentence in enumerate(own.sentences):
                group = own.group_of(i)
                found.append((feature, group, i - own.first(group), sentence, own.example(i).peak))
        dictionary = get_dictionary(session, "tiny")
        shown = [index for index, _ in examples_of_sentence(session, dictionary, 0, 100).items]
    database.close()
    assert sorted(found) == before
    assert sorted(shown) == [feature for feature, group, _, sentence, _ in before if (group, sentence) == (0, 0)]


def test_what_features_are_about_is_found_by_the_upgrade(tmp_path: Path) -> None:
    """In the sample a third of all sentences have each topic, so some get another that is rare among more of them."""
    import sqlite3

    file = tmp_path / "x.db"
    make_earlier(f"sqlite:///{file}", "0005")
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE sentences SET metadata = json_object('page', 'p' || (number / 12))")
        for more in (100, 200, 300):
            connection.execute(
                "INSERT INTO sentences SELECT dictionary, number + ?, text, boundaries, '{}', record, offset "
                "FROM sentences WHERE number < 100",
                (more,),
            )
    database = Database(f"sqlite:///{file}")
    with database.read() as session:
        dictionary = get_dictionary(session, "tiny")
        listed = list_features(session, dictionary, NO_FILTER, Sort.TOPIC_DESCENDING, None, 100).items
        about = [feature for feature in listed if feature.topic]
        assert about
        for feature in about:
            assert feature.topic
            strongest = list_examples(session, dictionary, feature.index, Group.TOP, None, 100).items
            assert sum(e.metadata["page"] == feature.topic.value for e in strongest) == feature.topic.n
    database.close()


def test_an_upgrade_that_fails_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    """A table of the next version's name, left by somebody, stands in its way."""
    import sqlite3

    file = tmp_path / "x.db"
    make_earlier(f"sqlite:///{file}", "0001")
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE people (x)")
        before = list(connection.iterdump())
    with pytest.raises(Exception, match="people"):
        Database(f"sqlite:///{file}")
    with sqlite3.connect(file) as connection:
        assert list(connection.iterdump()) == before
