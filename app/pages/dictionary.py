"""A dictionary: its quality, and its features in a list that sorts, filters and pages."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from secrets import randbelow
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.responses import HTMLResponse, RedirectResponse

from app.access.routes import needs
from app.domain import Dictionary, Example, ListedFeature, Slice
from app.errors import NotFound
from app.pages.charts import Chart, density_chart
from app.pages.choices import Choice
from app.pages.kept import kept
from app.pages.list_form import AskedList, ListForm, ListView
from app.pages.search import ShownHit, found_by_examples
from app.pages.snippets import ShownExample, shown_in_list
from app.pages.web import Models, ReadSession, render
from app.roles import Role
from app.store.dictionaries import get_dictionary
from app.store.examples import best_examples
from app.store.feature_list import FeatureFilter, draw_feature, list_features
from app.store.feature_order import Sort
from app.store.topics import list_topics

router = APIRouter(dependencies=[needs(Role.READ)])
ROWS = 50
COLUMNS = (  # sort, heading, what it starts with (what is looked for most: the large first, names from A)
    (Sort.INDEX, "Feature", Sort.INDEX),
    (Sort.LABEL, "Label", Sort.LABEL),
    (Sort.TOPIC, "About", Sort.TOPIC_DESCENDING),
    (Sort.DENSITY, "Density", Sort.DENSITY_DESCENDING),
    (Sort.MAX, "Max", Sort.MAX_DESCENDING),
    (Sort.MEAN, "Mean", Sort.MEAN_DESCENDING),
)
SORTS = (
    (Sort.INDEX, "Index"),
    (Sort.DENSITY_DESCENDING, "Densest first"),
    (Sort.DENSITY, "Rarest first"),
    (Sort.MAX_DESCENDING, "Strongest first"),
    (Sort.MAX, "Weakest first"),
    (Sort.MEAN_DESCENDING, "Largest mean first"),
    (Sort.MEAN, "Smallest mean first"),
    (Sort.TOPIC_DESCENDING, "Clearest topic first"),
    (Sort.TOPIC, "Vaguest topic first"),
    (Sort.LABEL, "Label, A to Z"),
    (Sort.LABEL_DESCENDING, "Label, Z to A"),
    (Sort.SCORE_DESCENDING, "Best label first"),
    (Sort.SCORE, "Poorest label first"),
    (Sort.INDEX_DESCENDING, "Index, last first"),
)
_BY_TOPIC = (Sort.TOPIC, Sort.TOPIC_DESCENDING)


@dataclass(frozen=True)
class Row:
    """best: its strongest example, None where it never fired. density_bar: density's place on a log scale, 0 to 1."""

    feature: ListedFeature
    href: str
    best: ShownExample | None
    density_bar: float


@dataclass(frozen=True)
class Column:
    """direction: ascending or descending where the list is sorted by it, else empty; href turns it or begins it."""

    heading: str
    direction: str
    href: str


@dataclass(frozen=True)
class DictionaryPage:
    """fault: what cannot be read in the form; the list is then empty. random_href: a draw from this list.

    topics: what features are about; without any, lists say nothing of it.
    hits: where no feature is called what is looked for and none fires on it, those that a search finds by examples.
    """

    dictionary: Dictionary
    chart: Chart | None
    form: ListForm
    fault: str | None
    sorts: Sequence[tuple[Sort, str]]
    columns: Sequence[Column]
    topics: Sequence[str]
    views: Sequence[Choice]
    rows: Sequence[Row]
    hits: Sequence[ShownHit]
    total: int
    is_first: bool
    first_href: str
    next_href: str | None
    random_href: str
    unavailable: str | None


@router.get("/dictionaries/{dictionary_id}")
@kept
def show_dictionary(
    dictionary_id: str, session: ReadSession, models: Models, form: AskedList, cursor: str | None = None
) -> HTMLResponse:
    dictionary = get_dictionary(session, dictionary_id)
    matching, fault = form.checked()
    found: Slice[ListedFeature] = Slice([], None, 0)
    if fault is None:
        found = list_features(session, dictionary, matching, form.sort, cursor or None, ROWS)
    best = best_examples(session, dictionary, [feature.index for feature in found.items])
    path, topics = f"/dictionaries/{dictionary.id}", list_topics(session, dictionary)
    page = DictionaryPage(
        dictionary=dictionary,
        chart=density_chart(dictionary.density_histogram, dictionary.n_tokens, form, path),
        form=form,
        fault=fault,
        sorts=[(sort, name) for sort, name in SORTS if topics or sort not in _BY_TOPIC],
        columns=[_column(form, path, *column) for column in COLUMNS if topics or column[0] not in _BY_TOPIC],
        topics=topics,
        views=[Choice(v.value.capitalize(), form.address(path, view=v.value), v is form.view) for v in ListView],
        rows=_rows(dictionary, form, found.items, best),
        hits=found_by_examples(session, dictionary, form.q) if matching.q and not found.total else [],
        total=found.total,
        is_first=not cursor,
        first_href=form.address(path),
        next_href=form.address(path, cursor=found.next) if found.next else None,
        random_href=form.address(f"{path}/random", view=""),
        unavailable=models.unavailable(dictionary),
    )
    return render("dictionary.html", page, 422 if fault else 200)


@router.get("/dictionaries/{dictionary_id}/random")
def show_any_feature(dictionary_id: str, session: ReadSession, form: AskedList) -> RedirectResponse:
    """To a feature drawn evenly from a list; from the features that fire (any, where none does) of the plain one."""
    dictionary = get_dictionary(session, dictionary_id)
    matching = FeatureFilter(alive=True) if form.is_empty else form.matching()
    index = draw_feature(session, dictionary, matching, randbelow)
    if index is None and form.is_empty:
        index = randbelow(dictionary.n_features)
    if index is None:
        raise NotFound(f"No feature of {dictionary.id} matches these filters, so none can be drawn.")
    href = feature_address(dictionary, index, form)
    return RedirectResponse(href, 303, {"cache-control": "no-store"})


def feature_address(dictionary: Dictionary, index: int, form: ListForm) -> str:
    """A feature's page, opened from a list: its neighbours there are the list's."""
    return f"/dictionaries/{dictionary.id}/features/{index}{_opened_from(form)}"


def _opened_from(form: ListForm) -> str:
    among = form.among
    return "?" + urlencode({"among": among}) if among else ""


def _rows(
    dictionary: Dictionary, form: ListForm, features: Sequence[ListedFeature], best: Mapping[int, Example]
) -> list[Row]:
    path, opened_from = f"/dictionaries/{dictionary.id}/features", _opened_from(form)
    return [
        Row(
            feature,
            f"{path}/{feature.index}{opened_from}",
            shown_in_list(best[feature.index]) if feature.index in best else None,
            log_place(feature.density, dictionary.n_tokens),
        )
        for feature in features
    ]


def log_place(density: float, n_tokens: int) -> float:
    """0 for a density of one token, 1 for every token."""
    return 1 + math.log10(density) / math.log10(n_tokens) if density > 0 and n_tokens > 1 else 0.0


def _column(form: ListForm, path: str, sort: Sort, heading: str, starts: Sort) -> Column:
    descending = Sort("-" + sort)
    direction = {sort: "ascending", descending: "descending"}.get(form.sort, "")
    following = starts if not direction else sort if direction == "descending" else descending
    return Column(heading, direction, form.address(path, sort=following.value))
