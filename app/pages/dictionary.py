"""A dictionary: its quality, and its features in a list that sorts, filters and pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from secrets import randbelow

from fastapi import APIRouter
from starlette.responses import HTMLResponse, RedirectResponse

from app.access.routes import needs
from app.domain import Dictionary, FeatureSummary
from app.pages.charts import Chart, density_chart
from app.pages.list_form import AskedList, ListForm
from app.pages.snippets import ShownExample, View, shown
from app.pages.web import Models, ReadSession, render
from app.roles import Role
from app.store.dictionaries import get_dictionary
from app.store.examples import best_examples
from app.store.features import FeatureFilter, Sort, list_features

router = APIRouter(dependencies=[needs(Role.READ)])
ROWS = 50
COLUMNS = (  # sort, heading, what it starts with (what is looked for most: the large first, names from A)
    (Sort.INDEX, "Feature", Sort.INDEX),
    (Sort.LABEL, "Label", Sort.LABEL),
    (Sort.DENSITY, "Density", Sort.DENSITY_DESCENDING),
    (Sort.MAX, "Max", Sort.MAX_DESCENDING),
    (Sort.MEAN, "Mean", Sort.MEAN_DESCENDING),
)


@dataclass(frozen=True)
class Row:
    """best: its strongest example, None for a feature that never fired."""

    feature: FeatureSummary
    best: ShownExample | None


@dataclass(frozen=True)
class Column:
    """direction: ascending or descending where the list is sorted by it, else empty; href turns it or begins it."""

    heading: str
    direction: str
    href: str


@dataclass(frozen=True)
class DictionaryPage:
    dictionary: Dictionary
    chart: Chart | None
    form: ListForm
    sort: Sort
    sorts: Sequence[tuple[Sort, str]]
    columns: Sequence[Column]
    rows: Sequence[Row]
    total: int
    is_first: bool
    first_href: str
    next_href: str | None
    unavailable: str | None


SORTS = (
    (Sort.INDEX, "Index"),
    (Sort.DENSITY_DESCENDING, "Densest first"),
    (Sort.DENSITY, "Rarest first"),
    (Sort.MAX_DESCENDING, "Strongest first"),
    (Sort.MAX, "Weakest first"),
    (Sort.MEAN_DESCENDING, "Largest mean first"),
    (Sort.MEAN, "Smallest mean first"),
    (Sort.LABEL, "Label, A to Z"),
    (Sort.LABEL_DESCENDING, "Label, Z to A"),
    (Sort.SCORE_DESCENDING, "Best label first"),
    (Sort.SCORE, "Poorest label first"),
    (Sort.INDEX_DESCENDING, "Index, last first"),
)


@router.get("/dictionaries/{dictionary_id}")
def show_dictionary(
    dictionary_id: str,
    session: ReadSession,
    models: Models,
    form: AskedList,
    sort: Sort = Sort.INDEX,
    cursor: str | None = None,
) -> HTMLResponse:
    dictionary = get_dictionary(session, dictionary_id)
    found = list_features(session, dictionary, form.matching(), sort, cursor or None, ROWS)
    best = best_examples(session, dictionary, [feature.index for feature in found.items])
    rows = [Row(f, shown(best[f.index], View.SNIPPET) if f.index in best else None) for f in found.items]
    path = f"/dictionaries/{dictionary.id}"
    return render(
        "dictionary.html",
        DictionaryPage(
            dictionary=dictionary,
            chart=density_chart(dictionary.density_histogram),
            form=form,
            sort=sort,
            sorts=SORTS,
            columns=[_column(form, path, sort, *column) for column in COLUMNS],
            rows=rows,
            total=found.total,
            is_first=not cursor,
            first_href=form.address(path, sort=_unless_default(sort)),
            next_href=form.address(path, sort=_unless_default(sort), cursor=found.next) if found.next else None,
            unavailable=models.unavailable(dictionary),
        ),
    )


@router.get("/dictionaries/{dictionary_id}/random")
def show_any_feature(dictionary_id: str, session: ReadSession) -> RedirectResponse:
    """To a feature drawn evenly from those that fire (any, where none does)."""
    dictionary = get_dictionary(session, dictionary_id)
    index = randbelow(dictionary.n_features)
    for _ in range(20):
        found = list_features(session, dictionary, FeatureFilter(q=str(index), alive=True), Sort.INDEX, None, 1)
        if any(feature.index == index for feature in found.items):
            break
        index = randbelow(dictionary.n_features)
    return RedirectResponse(f"/dictionaries/{dictionary.id}/features/{index}", 303, {"cache-control": "no-store"})


def _unless_default(sort: Sort) -> str:
    return "" if sort is Sort.INDEX else sort.value


def _column(form: ListForm, path: str, current: Sort, sort: Sort, heading: str, starts: Sort) -> Column:
    descending = Sort("-" + sort)
    direction = {sort: "ascending", descending: "descending"}.get(current, "")
    following = starts if not direction else sort if direction == "descending" else descending
    return Column(heading, direction, form.address(path, sort=_unless_default(following)))
