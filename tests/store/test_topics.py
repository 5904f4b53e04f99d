"""What features are about, against their examples counted one by one; and lists by it."""

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.domain import Dictionary, Group, Topic
from app.settings import database_url
from app.store.database import Database
from app.store.example_packing import StrongestExamples
from app.store.examples import list_examples
from app.store.feature_list import (
    NO_FILTER,
    FeatureFilter,
    count_features,
    draw_feature,
    list_features,
    list_neighbors,
)
from app.store.feature_order import Sort
from app.store.topic_index import LIFT, LONGEST, SHARE, find_topics
from app.store.topics import as_words, list_topics
from tests.conftest import Indexed
from tests.tiny import N_FEATURES


@pytest.fixture
def session(indexed: Indexed) -> Iterator[Session]:
    database = Database(database_url(indexed.url))
    with database.read() as session:
        yield session
    database.close()


def topic_of(examples: list[Mapping[str, Any]], base: Counter[tuple[str, str]], n: int) -> Topic | None:
    """base: of n sentences, how many have each value."""
    counts = Counter((f, v) for own in examples for f, v in own.items() if isinstance(v, str) and 0 < len(v) <= LONGEST)
    telling = [
        (-some, base[pair] / n, place, pair)
        for place, pair in enumerate(base)
        if (some := counts[pair]) > 1
        and some >= SHARE * len(examples)
        and some >= LIFT * len(examples) * base[pair] / n
    ]
    return Topic(*min(telling)[3], counts[min(telling)[3]], len(examples)) if telling else None


@pytest.mark.parametrize("seed", range(20))
def test_a_topic_is_what_most_examples_have(seed: int) -> None:
    draw = random.Random(seed)
    values = ["a", "b", "c_d", "", "long" * 30, True, 3, None]
    sentences = [
        (number, {field: draw.choice(values) for field in ("x", "y", "z") if draw.random() < 0.8})
        for number in range(60)
        if draw.random() < 0.8
    ]
    known = dict(sentences)
    of_feature = {f: draw.sample(sorted(known), draw.choice([1, 2, 5, 20])) for f in range(12) if f != 5}
    strongest = StrongestExamples.of([(s, f, r) for f, own in of_feature.items() for r, s in enumerate(own)])
    found = find_topics(iter(sentences), strongest)
    rows = zip(found.features.tolist(), found.topics.tolist(), found.n.tolist(), found.of.tolist(), strict=True)
    base = Counter(
        (f, v) for _, own in sentences for f, v in own.items() if isinstance(v, str) and 0 < len(v) <= LONGEST
    )
    expected = {f: topic_of([known[s] for s in own], base, len(sentences)) for f, own in of_feature.items()}
    assert {f: Topic(*found.named[t], n, of) for f, t, n, of in rows} == {f: t for f, t in expected.items() if t}


def test_a_build_without_metadata_or_examples_has_no_topics() -> None:
    none = StrongestExamples.of([])
    for sentences, strongest in (([], none), ([(0, {"a": "x"})], none), ([(0, {})], StrongestExamples.of([(0, 0, 0)]))):
        assert list(find_topics(sentences, strongest).features) == []


def topics(session: Session, dictionary: Dictionary) -> dict[int, Topic | None]:
    listed = list_features(session, dictionary, NO_FILTER, Sort.INDEX, None, 200).items
    return {feature.index: feature.topic for feature in listed}


def test_lists_say_what_features_are_about(session: Session, indexed: Indexed) -> None:
    found = topics(session, indexed.dictionary)
    assert any(found.values())
    for index, topic in found.items():
        own = list_examples(session, indexed.dictionary, index, Group.TOP, None, 100).items
        if topic is not None:
            assert (topic.n, topic.of) == (sum(e.metadata[topic.field] == topic.value for e in own), len(own))
    offered = list_topics(session, indexed.dictionary)
    counts = Counter(topic.value for topic in found.values() if topic)
    assert [counts[value] for value in offered] == sorted(counts.values(), reverse=True)


@pytest.mark.parametrize("sort", [Sort.TOPIC, Sort.TOPIC_DESCENDING])
def test_lists_by_topic(session: Session, indexed: Indexed, sort: Sort) -> None:
    dictionary, found = indexed.dictionary, topics(session, indexed.dictionary)
    sign = -1 if sort is Sort.TOPIC_DESCENDING else 1
    expected = sorted(found, key=lambda i: (found[i] is None, sign * t.n if (t := found[i]) else 0, i))
    value = list_topics(session, dictionary)[0]
    filters = [
        (NO_FILTER, lambda topic: True),
        (
            FeatureFilter(about=value.upper().replace("_", " ")),
            lambda topic: topic and as_words(value) in as_words(topic.value),
        ),
        (FeatureFilter(about="no such thing"), lambda topic: False),
        (FeatureFilter(labelled=True), lambda topic: False),
    ]
    for matching, keeps in filters:
        listed = [index for index in expected if keeps(found[index])]
        for limit, few in ((1, 2500), (5, 0), (200, 2500), (3, 2500)):
            pages, cursor = [], None
            while True:
                page = list_features(session, dictionary, matching, sort, cursor, limit, few)
                pages += [feature.index for feature in page.items]
                assert page.total == len(listed)
                cursor = page.next
                if cursor is None:
                    break
            assert pages == listed
        assert count_features(session, dictionary, matching) == len(listed)
        assert draw_feature(session, dictionary, matching, lambda n: n - 1) in (listed or [None])
        for before, index, after in zip([None, *listed], listed, [*listed[1:], None], strict=False):
            assert list_neighbors(session, dictionary, matching, sort, index) == (before, after)
    assert len(expected) == N_FEATURES
