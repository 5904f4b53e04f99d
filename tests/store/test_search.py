"""Search over a whole dictionary, in each database: what is found, how it is ordered, and that nothing goes stale."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text as sql
from sqlalchemy.orm import Session

from app.domain import Group, SearchResults
from app.errors import Invalid
from app.settings import database_url as database_url_of
from app.store.database import Database
from app.store.dictionaries import get_dictionary
from app.store.examples import list_examples
from app.store.full_text import Sought, is_postgresql, matching_sentences
from app.store.labels import add_label, set_star
from app.store.search import search
from app.store.search_index import first_place, index_words, strongest_examples, unindex_words
from app.store.search_query import parse_query
from app.store.write import remove_dictionary
from tests.conftest import Indexed, index_into
from tests.tiny import Tiny


@pytest.fixture(scope="module")
def database(indexed: Indexed) -> Iterator[Database]:
    opened = Database(database_url_of(indexed.url))
    yield opened
    opened.close()


def find(database: Database, q: str, kind: str | None = None, limit: int = 200) -> SearchResults:
    with database.read() as session:
        return search(session, q, None, kind, None, limit)


def texts_of(database: Database, feature: int) -> list[str]:
    with database.read() as session:
        examples = list_examples(session, get_dictionary(session, "tiny"), feature, Group.TOP, None, 50)
        return [example.text for example in examples.items]


@pytest.mark.parametrize("word", ["tennis", "Café", "日本", "文", "🎾", "مرحبا", "<script>", "tie-break", "&"])
def test_exactly_the_features_with_such_an_example_are_found(database: Database, word: str) -> None:
    hits = find(database, word, "text").hits.items
    n_examples = {f: sum(word.casefold() in text.casefold() for text in texts_of(database, f)) for f in range(24)}
    assert {hit.index: hit.n_examples for hit in hits} == {f: n for f, n in n_examples.items() if n}
    counts = [hit.n_examples for hit in hits]
    assert counts == sorted(counts, reverse=True)
    assert counts
    for hit in hits:
        assert word.casefold() in [hit.snippet[start:end].casefold() for start, end in hit.marks]


def test_sentences_are_the_same_whether_found_or_walked(database: Database) -> None:
    """PostgreSQL finds a few first; SQLite has one way."""
    query = parse_query("the").loosened({parse_query("the").wanted[0]: ["and", "tennis", "match"]})
    with database.read() as session:
        key = get_dictionary(session, "tiny").key
        sought, on_postgresql = Sought("text", query).text(session), is_postgresql(session)
        found = []
        for few in (None, 1, 5, 1000):
            where = first_place(key), first_place(key + 1) - 1
            statement = matching_sentences(on_postgresql, "text", "sought", *where, few)
            found.append(session.scalars(statement, {"sought": sought, "read": 7}).all())
    assert found == 4 * [sorted(found[0])]
    assert len(found[0]) == 7


def test_a_word_of_one_letter_is_a_word_first(database: Database) -> None:
    with_it = {f for f in range(24) if any(re.search(r"\ba\b", text.lower()) for text in texts_of(database, f))}
    found = [hit.index for hit in find(database, "a", "text").hits.items]
    assert with_it
    assert set(found[: len(with_it)]) == with_it
    assert len(found) > len(with_it)  # then those with words that begin with it


def test_a_piece_of_a_word_finds_it_behind_whole_words(database: Database) -> None:
    whole = find(database, "tennis", "text").hits.items
    assert {hit.index for hit in find(database, "enni", "text").hits.items} == {hit.index for hit in whole}
    assert {hit.index for hit in find(database, "te", "text").hits.items} >= {hit.index for hit in whole}
    assert find(database, '"enni"').hits.total == 0  # quotes mean the word itself


def test_signs_of_the_query_language(database: Database) -> None:
    assert find(database, "tenn*", "text").hits.total == find(database, "tennis", "text").hits.total > 0
    assert find(database, "zzz*").hits.total == 0
    assert find(database, '"of tennis"', "text").hits.total > 0
    assert find(database, '"tennis of"').hits.total == 0
    both = find(database, "tennis court", "text").hits.items
    assert all(
        {"tennis", "court"} <= {h.snippet[a:b].lower() for a, b in h.marks} for h in both if "…" not in h.snippet
    )
    without = find(database, "match -court", "text").hits.items
    for hit in without:
        texts = [t.lower() for t in texts_of(database, hit.index)]
        assert hit.n_examples == sum("match" in t.split() and "court" not in t.replace(".", "").split() for t in texts)


def test_metadata_is_found_by_its_value(database: Database) -> None:
    found = find(database, "kitchen", "metadata").hits.items
    assert {hit.snippet for hit in found} == {"topic: kitchen"}
    assert "metadata" in find(database, "kitchen").kinds
    counts = [hit.n_examples for hit in found]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 0


def test_facets_count_features_and_narrow(database: Database) -> None:
    every = find(database, "tennis")
    assert every.dictionaries == {"tiny": every.hits.total}
    for kind, n in every.kinds.items():
        narrowed = find(database, "tennis", kind)
        assert narrowed.hits.total == n
        assert {hit.matched for hit in narrowed.hits.items} == {kind}
        assert narrowed.kinds == every.kinds


def test_pages_hold_each_feature_once(database: Database) -> None:
    whole = [hit.index for hit in find(database, "the").hits.items]
    seen: list[int] = []
    cursor = None
    with database.read() as session:
        while True:
            found = search(session, "the", "tiny", None, cursor, 5)
            seen += [hit.index for hit in found.hits.items]
            assert found.hits.total == len(whole)
            cursor = found.hits.next
            if cursor is None:
                break
    assert seen == whole


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(q=st.text(min_size=1, max_size=40).filter(lambda q: q.strip() and "\0" not in q))
def test_nothing_typed_is_an_error_of_the_database(database: Database, q: str) -> None:
    with contextlib.suppress(Invalid):
        assert find(database, q, limit=5).hits.total >= 0


@pytest.mark.slow
def test_what_is_removed_leaves_nothing_behind(tiny: Tiny, database_url: str, tmp_path: Path) -> None:
    first = index_into(tiny, database_url, tmp_path / "work")
    database = Database(database_url)
    with database.write() as session:
        label = add_label(session, first, 3, "unheardof tennis", "Ada")
        set_star(session, first, 3, label.id, "Bob", True)
    index_into(tiny, database_url, tmp_path / "work", replace=True)
    assert find(database, "unheardof").hits.total == 1
    assert find(database, "tennis", "text").hits.total > 0
    tables = ("searched_sentences", "vocabulary", "labels", "label_changes", "label_stars")

    def rows() -> dict[str, Any]:
        with database.read() as session:
            return {table: session.scalar(sql(f"SELECT count(*) FROM {table}")) for table in tables}

    before = rows()
    assert 0 not in before.values()
    remove_dictionary(database, "tiny")
    assert set(rows().values()) == {0}
    if database.is_sqlite:
        with database.write() as session:
            for index in ("sentence_words", "label_words", "word_pieces"):
                session.execute(sql(f"INSERT INTO {index} ({index}) VALUES ('integrity-check')"))
            assert session.scalar(sql("SELECT count(*) FROM sentence_terms")) == 0
    database.close()


@pytest.mark.slow
@pytest.mark.parametrize("n_transactions", [0, 1, 2])
def test_a_build_that_dies_while_it_is_made_findable_is_taken_out_whole(
    tiny: Tiny, database_url: str, tmp_path: Path, n_transactions: int
) -> None:
    """To take words out of SQLite's index that were never put in would damage it."""
    key = index_into(tiny, database_url, tmp_path / "work").key
    database = Database(database_url_of(database_url))
    before = find(database, "tennis")
    with database.read() as session:
        strongest = strongest_examples(session, key)
    unindex_words(database.write, key)
    left = iter(range(n_transactions))

    def dying() -> contextlib.AbstractContextManager[Session]:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return database.write()

    with contextlib.suppress(KeyboardInterrupt):
        index_words(dying, key, [strongest])
    unindex_words(database.write, key)
    assert find(database, "tennis", "text").hits.items == []
    index_words(database.write, key, [strongest])
    assert find(database, "tennis") == before
    database.close()
