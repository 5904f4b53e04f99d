"""What weighs most: pages of a dictionary in which everything is as large as it gets."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from app.store.database import Database
from tests.conftest import Page
from tests.heavy import EACH, LABELS, N_FEATURES, write_heavy
from tests.pages.test_weight import MOST_HTML

D = "/dictionaries/heavy"
MANY_LABELS = f"{D}/features/0"
PAGES = (
    *(
        "/",
        D,
        f"{D}?view=cards",
        f"{D}?sort=-density",
        f"{D}?q=dense&min_density=1",
        f"{D}?about=値&sort=-topic",
        f"{D}/exchange",
    ),
    *(f"{D}/features/1{looked_at}" for looked_at in ("", "?view=line", "?view=full&spaces=shown&heat=sentence")),
    *(f"{D}/features/1?group={group}" for group in ("interval-3", "contrast", "silent")),
    *(f"{MANY_LABELS}{more}" for more in ("", "?view=full", "/labels", "/labels?after=15", "/copy")),
    *(f"{D}/sentences/3", f"{D}/sentences/3?feature=7", f"/embed{D}/features/1?n=20"),
    *(f"/search?q={word}" for word in ("a", "dense", "value", "構造")),
)


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    url = f"sqlite:///{tmp_path_factory.mktemp('heavy') / 'heavy.db'}"
    database = Database(url)
    write_heavy(database)
    database.close()
    with TestClient(create_app(Settings(db=url)), cookies={"featurescope_author": "Ada"}) as client:
        yield client


def browse(heavy: TestClient, address: str) -> Page:
    answer = heavy.get(address)
    return Page(answer.status_code, answer.text)


@pytest.mark.slow
@pytest.mark.parametrize("address", PAGES)
def test_no_page_is_heavy_however_much_there_is(heavy: TestClient, address: str) -> None:
    answer = heavy.get(address)
    assert answer.status_code == 200
    assert len(answer.content) < MOST_HTML


@pytest.mark.slow
@pytest.mark.parametrize("view", ["snippet", "full", "line"])
def test_fewer_examples_a_page_still_page_to_the_last(heavy: TestClient, view: str) -> None:
    page = browse(heavy, f"{D}/features/1?view={view}")
    seen = [item.attributes["id"] for item in page.all(".examples li")]
    assert len(seen) < EACH
    while page.all(".pager a[rel=next]"):
        page = browse(heavy, str(page.one(".pager a[rel=next]").attributes["href"]))
        assert page.all(".examples li .token.peak")
        seen += [item.attributes["id"] for item in page.all(".examples li")]
    assert len(seen) == len(set(seen)) == EACH


@pytest.mark.slow
def test_labels_and_their_history_page_to_the_last(heavy: TestClient) -> None:
    first = browse(heavy, MANY_LABELS)
    assert len(first.all(".labels > li")) < LABELS
    assert first.text("#labels .note a") == f"All {LABELS} labels"
    labels = followed(heavy, f"{MANY_LABELS}/labels", ".labelling > .pager a", ".labels .text")
    assert len(labels) == len(set(labels)) == LABELS
    assert labels[0] == first.text("#feature-name")
    changes = followed(heavy, f"{MANY_LABELS}/labels", "#history .pager a", "#history tbody tr")
    assert len(changes) == LABELS


def followed(heavy: TestClient, address: str, link: str, rows: str) -> list[str]:
    """The texts of all rows, page by page."""
    page = browse(heavy, address)
    found = [row.text() for row in page.all(rows)]
    while page.all(link):
        page = browse(heavy, str(page.one(link).attributes["href"]))
        found += [row.text() for row in page.all(rows)]
    return found


@pytest.mark.slow
def test_a_label_past_those_shown_can_be_edited(heavy: TestClient) -> None:
    last = browse(heavy, f"{MANY_LABELS}/labels?after={LABELS - 1}").one(".labels a[aria-label^=Edit]")
    page = browse(heavy, str(last.attributes["href"]))
    assert len(page.all(".labels input[name=text]")) == 1


@pytest.mark.slow
def test_a_list_shows_as_many_rows_as_ever(heavy: TestClient) -> None:
    assert len(browse(heavy, D).all("#features tbody tr")) == min(50, N_FEATURES)
