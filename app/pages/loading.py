"""What a live page shows while its model loads: it asks again by itself, without JavaScript too."""

from dataclasses import dataclass

from starlette.responses import HTMLResponse

from app.domain import Dictionary
from app.pages.web import render

AGAIN = 3  # seconds


@dataclass(frozen=True)
class LoadingPage:
    dictionary: Dictionary
    seconds: float


def render_loading(dictionary: Dictionary, seconds: float) -> HTMLResponse:
    """seconds: since the load began."""
    answer = render("loading.html", LoadingPage(dictionary, seconds))
    answer.headers["refresh"] = str(AGAIN)
    answer.headers["cache-control"] = "no-store"
    return answer
