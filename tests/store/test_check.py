"""What a check finds in a database that was damaged on purpose, and what it puts right."""

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from app.settings import database_url as url_of
from app.store.check import Finding, check_database
from app.store.database import Database
from app.store.dictionaries import get_dictionary
from app.store.example_packing import ExampleBlock
from app.store.features import feature_names
from app.store.room import database_size, vacuum
from app.store.write import remove_dictionary

pytestmark = pytest.mark.slow  # many databases, a second each

Check = Callable[..., list[Finding]]


@pytest.fixture
def database(own_database: str) -> Iterator[Database]:
    opened = Database(url_of(own_database))
    yield opened
    opened.close()


@pytest.fixture
def check(database: Database) -> Check:
    def run(repair: bool = False) -> list[Finding]:
        return list(check_database(database, repair, lambda done, total: None))

    return run


def execute(database: Database, *statements: str, **values: Any) -> None:
    with database.write() as session:
        for statement in statements:
            session.execute(text(statement), values)


def test_a_sound_database_has_no_findings(check: Check) -> None:
    assert check() == []


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ('DELETE FROM features WHERE "index" = 5', "23 features are stored, and it says 24"),
        ("DELETE FROM sentences WHERE number = 3", "show a sentence that is not stored"),
        ('DELETE FROM features WHERE "index" = 3', "belong to a feature that is not stored"),
        ("UPDATE sentences SET text = 'shorter' WHERE number = 2", "tokens of sentence 2 do not cover it"),
        ("DELETE FROM feature_examples WHERE feature = 5", "23 features' examples are stored, and it says 24"),
        (
            "UPDATE feature_examples SET packed = :junk WHERE feature = 3",
            "an example of feature 3 cannot be read",
        ),
        ('UPDATE features SET statistics = :junk WHERE "index" = 7', "statistics of feature 7 cannot be read"),
        ('UPDATE features SET n_active_tokens = 1 WHERE "index" = 7', "counts of feature 7 do not add up"),
    ],
)
def test_damage_is_found_and_repair_does_not_hide_it(
    database: Database, check: Check, statement: str, says: str
) -> None:
    values = {"junk": b"\x01\x02\x03"} if ":junk" in statement else {}
    execute(database, statement, **values)
    for repair in (False, True, False):
        found = check(repair)
        assert any(says in finding.what and finding.is_fault and finding.is_open for finding in found), found
        assert all("--replace" in finding.remedy for finding in found)


def with_more_than_is_counted(packed: bytes) -> bytes:
    raw = zlib.decompress(packed[1:], -zlib.MAX_WBITS) + b"\0\0"
    return packed[:1] + zlib.compress(raw, 1, -zlib.MAX_WBITS)


def weakest_first(packed: bytes) -> bytes:
    one = np.array([0, 0])
    ranks, sentences, lengths = np.array([0, 1]), np.array([0, 1]), np.array([1, 1])
    values = np.array([0.5, 2.0], np.float32)
    block = ExampleBlock(one, one, ranks, sentences, one, lengths, one, values)
    ((_, made),) = block.rows()
    return made


@pytest.mark.parametrize("change", [with_more_than_is_counted, weakest_first])
def test_ranks_that_are_missing_or_out_of_order_are_found(
    database: Database, check: Check, change: Callable[[bytes], bytes]
) -> None:
    with database.read() as session:
        packed = session.scalar(text("SELECT packed FROM feature_examples WHERE feature = 3"))
    assert isinstance(packed, bytes)
    execute(database, "UPDATE feature_examples SET packed = :changed WHERE feature = 3", changed=change(packed))
    (found,) = check()
    assert "examples of feature 3 lack a rank or are out of order" in found.what


def test_a_feature_without_a_name_gets_its_best_label(database: Database, check: Check) -> None:
    execute(database, "UPDATE labels SET is_name = false WHERE feature = 3")
    (found,) = check()
    assert (found.is_fault, found.is_open) == (True, True)
    (found,) = check(repair=True)
    assert found.is_open is False
    assert check() == []
    with database.read() as session:
        assert feature_names(session, get_dictionary(session, "tiny"), [3]) == {3: "about tennis"}


def test_an_old_unfinished_build_is_removed_and_a_young_one_is_left(database: Database, check: Check) -> None:
    execute(database, "UPDATE dictionaries SET published = false, id = 'given-up'")
    (young, labels) = check(repair=True)
    assert "may be running" in young.remedy
    assert "2 labels belong to a dictionary tiny that is not here" in labels.what
    assert not any(finding.is_fault for finding in (young, labels))
    execute(database, "UPDATE dictionaries SET created_at = '2020-01-01 00:00:00'")
    assert "--repair removes it" in check()[0].remedy
    assert check(repair=True)[0].remedy == "removed"
    assert [finding.what for finding in check()] == [labels.what], "labels are never taken away"
    with database.read() as session:
        assert session.scalar(text("SELECT count(*) FROM feature_examples")) == 0


@pytest.mark.parametrize("labelled", ["sqlite"], indirect=True)  # PostgreSQL guards its pages itself
def test_a_damaged_index_is_found(database: Database, check: Check) -> None:
    """Rows put in while an index was not looked after stand in for a page that a disk lost."""
    execute(
        database,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = replace(sql, 'n_active_tokens', 'n_active_sentences') "
        "WHERE name = 'features_by_tokens'",
    )
    database.close()
    found = check()
    assert any("damaged" in finding.what and "backup" in finding.remedy for finding in found)


def test_vacuum_gives_room_back(database: Database) -> None:
    remove_dictionary(database, "tiny")
    vacuum(database)  # PostgreSQL truncates what is empty at the end of a table
    after = database_size(database)
    assert after > 0
    with database.read() as session:
        assert session.scalar(text("SELECT count(*) FROM feature_examples")) == 0
