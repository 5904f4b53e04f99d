"""Finding features by examples: two lists of texts, and the features that tell them apart."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from app.access.routes import live_page, needs
from app.domain import Dictionary, FeatureSummary
from app.errors import Invalid
from app.live import SeparatingFeature, Separation
from app.pages.loading import render_loading
from app.pages.web import Models, ReadSession, RequestPatience, ServerSettings, render
from app.roles import Role
from app.store.dictionaries import get_dictionary
from app.store.features import get_summaries

router = APIRouter(dependencies=[needs(Role.READ), live_page("having", "lacking")])
SHOWN = 30
HAVING = "She won the match in straight sets.\nHe served an ace on the last point.\nThe players shook hands at the net."
LACKING = "Chop the onions and fry them.\nIt rained all day in the valley.\nThe train was an hour late."


@dataclass(frozen=True)
class FoundFeature:
    feature: FeatureSummary
    found: SeparatingFeature


@dataclass(frozen=True)
class SeparationPage:
    dictionary: Dictionary
    unavailable: str | None
    having: str
    lacking: str
    most: int
    problem: str | None
    found: Separation | None
    features: Sequence[FoundFeature]
    example: tuple[str, str]


@router.get("/dictionaries/{dictionary_id}/find")
def show_separation(
    dictionary_id: str,
    session: ReadSession,
    models: Models,
    settings: ServerSettings,
    patience: RequestPatience,
    having: str = "",
    lacking: str = "",
) -> HTMLResponse:
    """having, lacking: a text a line."""
    dictionary = get_dictionary(session, dictionary_id)
    unavailable = models.unavailable(dictionary)
    found = problem = None
    features: list[FoundFeature] = []
    texts = lines(having), lines(lacking)
    if any(texts) and unavailable is None:
        session.close()  # no connection is held while the model works
        try:
            if not all(texts):
                raise Invalid("Both lists are needed: at least one text with it and one without it.")
            loading = models.loading(dictionary, [*texts[0], *texts[1]], patience)
            if loading is not None:
                return render_loading(dictionary, loading)
            found = models.separate(dictionary, *texts, SHOWN, patience)
            summaries = get_summaries(session, dictionary, [one.index for one in found.features])
            features = [FoundFeature(summaries[one.index], one) for one in found.features if one.index in summaries]
        except Invalid as refused:
            problem = str(refused)
    page = SeparationPage(
        dictionary, unavailable, having, lacking, settings.max_texts, problem, found, features, (HAVING, LACKING)
    )
    return render("separation.html", page, 200 if problem is None else 422)


def lines(texts: str) -> list[str]:
    """A text a line; empty lines are none."""
    return [line for line in texts.splitlines() if line.strip()]
