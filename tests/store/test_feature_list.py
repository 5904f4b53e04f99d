"""Lists by label, while labels change; and the neighbours of a feature in a list."""

import random
from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session

from app.domain import Dictionary
from app.store.database import Database
from app.store.feature_list import (
    FEW,
    NO_FILTER,
    FeatureFilter,
    count_features,
    draw_feature,
    list_features,
    list_neighbors,
)
from app.store.feature_order import Sort
from app.store.labels import add_label
from tests.conftest import index_into
from tests.tiny import N_FEATURES, Tiny

NAMES = {3: "tennis", 4: "Tennis", 7: "answers", 11: "zebras", 12: "%_", 20: "answers"}


@pytest.fixture
def labelled(
    tiny: Tiny, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Database, Dictionary]]:
    dictionary = index_into(tiny, database_url, tmp_path_factory.mktemp("work"))
    database = Database(database_url)
    for index, text in NAMES.items():
        with database.write() as session:
            add_label(session, dictionary, index, text, "ada")
    yield database, dictionary
    database.close()


def walk(
    session: Session, dictionary: Dictionary, matching: FeatureFilter, sort: Sort, limit: int, few: int = FEW
) -> list[int]:
    found: list[int] = []
    cursor = None
    while True:
        page = list_features(session, dictionary, matching, sort, cursor, limit, few)
        found += [feature.index for feature in page.items]
        cursor = page.next
        if cursor is None:
            return found


@pytest.mark.slow
def test_lists_by_label(labelled: tuple[Database, Dictionary]) -> None:
    """One database for all of it, since each costs an index."""
    database, dictionary = labelled
    with database.read() as session:
        unnamed = [index for index in range(N_FEATURES) if index not in NAMES]
        by_name = sorted(NAMES, key=lambda index: (NAMES[index].lower(), index))
        turned = sorted(NAMES, key=lambda index: NAMES[index].lower(), reverse=True)
        for limit in (1, 2, 5, 100):
            assert walk(session, dictionary, NO_FILTER, Sort.LABEL, limit) == by_name + unnamed
            found = walk(session, dictionary, NO_FILTER, Sort.LABEL_DESCENDING, limit)
            assert [NAMES[i].lower() for i in found[: len(NAMES)]] == [NAMES[i].lower() for i in turned]
            assert found[len(NAMES) :] == unnamed
            assert walk(session, dictionary, FeatureFilter(labelled=True), Sort.INDEX, limit) == sorted(NAMES)
            assert walk(session, dictionary, FeatureFilter(q="ennis"), Sort.LABEL, limit) == [3, 4]
        for matching in (FeatureFilter(labelled=True), FeatureFilter(labelled=False), FeatureFilter(q="ennis")):
            listed = walk(session, dictionary, matching, Sort.INDEX, 100)
            assert count_features(session, dictionary, matching) == len(listed)
            draws = {draw_feature(session, dictionary, matching, random.Random(i).randrange) for i in range(300)}
            assert draws == set(listed)
        assert [f.label for f in list_features(session, dictionary, NO_FILTER, Sort.LABEL, None, 2).items] == [
            "%_",
            "answers",
        ]
        filters = [
            *(FeatureFilter(labelled=some, alive=others) for some in (None, True, False) for others in (None, True)),
            *(FeatureFilter(q=q, labelled=some) for q in ("ennis", "a", "3") for some in (None, True)),
            *(FeatureFilter(token=token, min_max_activation=0.5) for token in ("the", "a")),
            FeatureFilter(min_density=0.05, max_density=0.9, labelled=True),
        ]
        for sort in Sort:
            for matching in filters:
                sorted_whole = walk(session, dictionary, matching, sort, 4)
                assert sorted_whole == walk(session, dictionary, matching, sort, 4, few=0), (sort, matching)
                assert sorted_whole == walk(session, dictionary, matching, sort, 100, few=0), (sort, matching)
            order = walk(session, dictionary, NO_FILTER, sort, 100)
            for place, index in enumerate(order):
                before, after = list_neighbors(session, dictionary, NO_FILTER, sort, index)
                assert before == (order[place - 1] if place else None)
                assert after == (order[place + 1] if place + 1 < len(order) else None)


@pytest.mark.slow
@pytest.mark.parametrize("sort", [Sort.LABEL, Sort.LABEL_DESCENDING])
def test_what_keeps_its_name_is_listed_once_while_others_change(
    labelled: tuple[Database, Dictionary], sort: Sort
) -> None:
    database, dictionary = labelled
    draw = random.Random(1)
    changed: set[int] = set()
    found: list[int] = []
    cursor = None
    while True:
        with database.read() as session:
            page = list_features(session, dictionary, NO_FILTER, sort, cursor, 3)
        found += [feature.index for feature in page.items]
        cursor = page.next
        if cursor is None:
            break
        index = draw.randrange(N_FEATURES)
        changed.add(index)
        with database.write() as session:
            add_label(session, dictionary, index, draw.choice("abcxyz") * 3, "eve")
    kept = set(range(N_FEATURES)) - changed
    assert {index: found.count(index) for index in kept} == dict.fromkeys(kept, 1)
