"""One feature on texts of one's own: a box of the feature's page, and by itself a page that works without scripts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import HTMLResponse

from app.access.routes import live_page, needs
from app.domain import Dictionary, Feature
from app.errors import Invalid
from app.live import LiveText, Ranking
from app.pages.loading import render_loading
from app.pages.snippets import ShownToken
from app.pages.web import KnownActivationScales, Models, ReadSession, RequestPatience, render
from app.roles import Role
from app.store.dictionaries import get_dictionary
from app.store.features import get_feature

router = APIRouter(dependencies=[needs(Role.READ), live_page("text")])
KEPT = 5  # texts, the newest first; they are in the address alone


@dataclass(frozen=True)
class TriedText:
    """One text with the feature's activations. percentile: of its peak there, None where it stays silent."""

    tokens: Sequence[ShownToken]
    peak: float
    percentile: float | None


@dataclass(frozen=True)
class TryItPage:
    """texts: as in the address, the newest first; tried: the same, run. scale: the activation at full strength."""

    dictionary: Dictionary
    feature: Feature
    unavailable: str | None
    problem: str | None
    texts: Sequence[str]
    tried: Sequence[TriedText]
    scale: float


@router.get("/dictionaries/{dictionary_id}/features/{index}/try")
def show_tried(
    dictionary_id: str,
    index: int,
    session: ReadSession,
    models: Models,
    known: KnownActivationScales,
    patience: RequestPatience,
    text: Annotated[tuple[str, ...], Query()] = (),
) -> HTMLResponse:
    dictionary = get_dictionary(session, dictionary_id)
    feature = get_feature(session, dictionary, index)
    unavailable = models.unavailable(dictionary)
    texts = list(dict.fromkeys(one.replace("\r\n", "\n") for one in text if one.strip()))[:KEPT]
    tried: list[TriedText] = []
    problem = None
    if texts and unavailable is None:
        scales = known.of(session, dictionary)
        session.close()  # no connection is held while the model works
        try:
            loading = models.loading(dictionary, texts, patience)
            if loading is not None:
                return render_loading(dictionary, loading)
            found = models.activations(dictionary, scales, texts, 1, [index], Ranking.MAX, patience)
            tried = [tried_text(one) for one in found]
        except Invalid as refused:
            problem = str(refused)
    scale = max([feature.max_activation, *(one.peak for one in tried)])
    page = TryItPage(dictionary, feature, unavailable, problem, texts, tried, scale)
    return render("try_it.html", page, 200 if problem is None else 422)


def tried_text(found: LiveText) -> TriedText:
    """One feature was followed."""
    at = [token.followed[0] for token in found.tokens]
    peak = max(at, key=lambda one: one.activation)
    tokens = [
        ShownToken(token.text, one.activation, one is peak and one.activation > 0)
        for token, one in zip(found.tokens, at, strict=True)
    ]
    return TriedText(tokens, peak.activation, peak.percentile if peak.activation > 0 else None)
