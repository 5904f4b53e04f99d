"""Search: features by label, token, example text and metadata, over one dictionary or all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from starlette.responses import HTMLResponse

from app.access.routes import needs
from app.domain import Dictionary, SearchHit
from app.pages.web import ReadSession, render
from app.roles import Role
from app.store.dictionaries import list_dictionaries
from app.store.search import search

router = APIRouter(dependencies=[needs(Role.READ)])
ROWS = 30
MATCHED = {"label": "label", "token": "token it fires on", "text": "example", "metadata": "metadata"}


@dataclass(frozen=True)
class Piece:
    """A part of a snippet; is_match: one of the words looked for."""

    text: str
    is_match: bool


@dataclass(frozen=True)
class ShownHit:
    hit: SearchHit
    matched: str
    snippet: Sequence[Piece]


@dataclass(frozen=True)
class SearchPage:
    q: str
    within: str
    dictionaries: Sequence[Dictionary]
    hits: Sequence[ShownHit]
    total: int
    next_href: str | None


@router.get("/search")
def show_search(
    session: ReadSession,
    q: Annotated[str, Query(max_length=200)] = "",
    dictionary: Annotated[str, Query(max_length=100)] = "",
    cursor: str = "",
) -> HTMLResponse:
    known = list_dictionaries(session)
    if not q.strip():
        return render("search.html", SearchPage("", dictionary, known, [], 0, None))
    found = search(session, q, dictionary or None, None, cursor or None, ROWS)
    asked = {"q": q, "dictionary": dictionary, "cursor": found.next or ""}
    following = "/search?" + urlencode({name: value for name, value in asked.items() if value}) if found.next else None
    hits = [ShownHit(hit, MATCHED[hit.matched], mark(hit.snippet, q.split())) for hit in found.items]
    return render("search.html", SearchPage(q, dictionary, known, hits, found.total, following))


def mark(text: str, words: Sequence[str]) -> list[Piece]:
    """The text cut where one of the words begins or ends, whatever its case."""
    lowered = text.lower()
    if len(lowered) != len(text):  # lowering made some character longer: places would not agree
        return [Piece(text, False)]
    matched = [False] * len(text)
    for word in words:
        low = word.lower()
        at = lowered.find(low)
        while at >= 0:
            matched[at : at + len(low)] = [True] * len(low)
            at = lowered.find(low, at + 1)
    pieces: list[Piece] = []
    for character, is_match in zip(text, matched, strict=True):
        if pieces and pieces[-1].is_match == is_match:
            pieces[-1] = Piece(pieces[-1].text + character, is_match)
        else:
            pieces.append(Piece(character, is_match))
    return pieces
