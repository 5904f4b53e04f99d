"""The first page: every dictionary there is."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from app.access.routes import needs
from app.domain import Dictionary
from app.pages.charts import Chart, density_chart
from app.pages.kept import kept
from app.pages.list_form import ListForm
from app.pages.web import ReadSession, render
from app.roles import Role
from app.store.dictionaries import list_dictionaries

router = APIRouter(dependencies=[needs(Role.READ)])


@dataclass(frozen=True)
class Shelf:
    dictionary: Dictionary
    chart: Chart | None


@dataclass(frozen=True)
class HomePage:
    shelves: Sequence[Shelf]


@router.get("/")
@kept
def show_home(session: ReadSession) -> HTMLResponse:
    found = list_dictionaries(session)
    return render(
        "home.html",
        HomePage(
            [
                Shelf(d, density_chart(d.density_histogram, d.n_tokens, ListForm(), f"/dictionaries/{d.id}"))
                for d in found
            ]
        ),
    )
