"""Lists against the same features sorted and filtered in Python."""

from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session

from app.domain import Feature
from app.errors import Invalid, NotFound
from app.settings import database_url
from app.store.database import Database
from app.store.feature_list import NO_FILTER, FeatureFilter, list_features
from app.store.feature_order import Sort
from app.store.features import get_feature, get_summaries
from tests.conftest import Indexed
from tests.pages.test_weight import statements
from tests.tiny import DEAD, N_FEATURES


@pytest.fixture
def session(indexed: Indexed) -> Iterator[Session]:
    database = Database(database_url(indexed.url))
    with database.read() as session:
        yield session
    database.close()


@pytest.fixture
def features(session: Session, indexed: Indexed) -> list[Feature]:
    return [get_feature(session, indexed.dictionary, i) for i in range(N_FEATURES)]


def fires_on_the(feature: Feature) -> bool:
    return any(token.token.strip().lower() == "the" for token in feature.top_tokens)


KEYS = {
    "index": lambda f: f.index,
    "density": lambda f: f.n_active_tokens,
    "max_activation": lambda f: f.max_activation,
    "mean_activation": lambda f: f.mean_activation,
}


@pytest.mark.parametrize("sort", [s for s in Sort if s.removeprefix("-") in KEYS])
@pytest.mark.parametrize("limit", [1, 5, 200])
def test_paging_gives_every_feature_once_in_order(
    session: Session, indexed: Indexed, features: list[Feature], sort: Sort, limit: int
) -> None:
    key = KEYS[sort.removeprefix("-")]
    sign = -1 if sort.startswith("-") else 1
    expected = [f.index for f in sorted(features, key=lambda f: (sign * key(f), f.index))]
    found: list[int] = []
    cursor = None
    while True:
        page = list_features(session, indexed.dictionary, NO_FILTER, sort, cursor, limit)
        assert page.total == N_FEATURES
        found += [f.index for f in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert found == expected


@pytest.mark.parametrize(
    ("matching", "keeps"),
    [
        (FeatureFilter(alive=False), lambda f: f.n_active_tokens == 0),
        (FeatureFilter(alive=True), lambda f: f.n_active_tokens > 0),
        (FeatureFilter(min_density=0.1), lambda f: f.density >= 0.1),
        (FeatureFilter(max_density=0.1), lambda f: f.density <= 0.1),
        (FeatureFilter(min_max_activation=1.0), lambda f: f.max_activation >= 1.0),
        (FeatureFilter(labelled=True), lambda f: False),
        (FeatureFilter(q="7"), lambda f: f.index == 7 or any(t.token.strip().startswith("7") for t in f.top_tokens)),
        (FeatureFilter(q="TE"), lambda f: any(t.token.strip().lower().startswith("te") for t in f.top_tokens)),
        (FeatureFilter(max_max_activation=1.0), lambda f: f.max_activation <= 1.0),
        (FeatureFilter(labelled=False, alive=True), lambda f: f.n_active_tokens > 0),
        (FeatureFilter(token="the", min_density=0.05), lambda f: f.density >= 0.05 and fires_on_the(f)),
        (FeatureFilter(token="the"), lambda f: any(t.token.strip().lower() == "the" for t in f.top_tokens)),
        (FeatureFilter(promotes="the"), lambda f: any(t.token.strip().lower() == "the" for t in f.promoted)),
    ],
)
def test_a_filter_keeps_what_it_says(
    session: Session, indexed: Indexed, features: list[Feature], matching: FeatureFilter, keeps: object
) -> None:
    assert callable(keeps)
    expected = [f.index for f in features if keeps(f)]
    page = list_features(session, indexed.dictionary, matching, Sort.INDEX, None, 200)
    assert [f.index for f in page.items] == expected
    assert page.total == len(expected)


def test_signs_of_a_pattern_are_text(session: Session, indexed: Indexed) -> None:
    for q in ("%", "_", "\\", "'", '"'):
        page = list_features(session, indexed.dictionary, FeatureFilter(q=q), Sort.INDEX, None, 200)
        assert all(any(q in t.token for t in f.top_tokens) for f in page.items)


def test_a_cursor_of_another_list_is_refused(session: Session, indexed: Indexed) -> None:
    page = list_features(session, indexed.dictionary, NO_FILTER, Sort.DENSITY, None, 3)
    assert page.next is not None
    with pytest.raises(Invalid, match="cursor"):
        list_features(session, indexed.dictionary, NO_FILTER, Sort.INDEX, page.next, 3)
    with pytest.raises(Invalid, match="cursor"):
        list_features(session, indexed.dictionary, NO_FILTER, Sort.DENSITY, page.next[:-2] + "AA", 3)


def test_a_feature_that_is_not_there_is_named(session: Session, indexed: Indexed) -> None:
    for index in (-1, N_FEATURES, 10**30):
        with pytest.raises(NotFound, match="features 0 to 23"):
            get_feature(session, indexed.dictionary, index)


def test_a_dead_feature_sorts_last_by_density(session: Session, indexed: Indexed) -> None:
    page = list_features(session, indexed.dictionary, NO_FILTER, Sort.DENSITY_DESCENDING, None, 200)
    assert page.items[-1].index == DEAD


def test_lists_of_any_length_are_one_statement(session: Session, indexed: Indexed) -> None:
    with statements() as asked:
        for indices in ([5], [1, 5, 3], [], range(100_000)):
            found = get_summaries(session, indexed.dictionary, indices)
            assert sorted(found) == sorted(set(indices) & set(range(N_FEATURES)))
    assert len({statement for statement in asked if "features" in statement}) == 1
