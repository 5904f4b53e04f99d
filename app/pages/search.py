"""Search: features by label, token, example text and metadata, over one dictionary or all."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse

from app.access.routes import needs
from app.domain import Dictionary, SearchHit, SearchResults
from app.errors import Invalid
from app.pages.snippets import ShownExample, View, shown, shown_in_list
from app.pages.web import Models, ReadSession, render
from app.roles import Role
from app.store.dictionaries import list_dictionaries
from app.store.search import search
from app.store.search_query import parse_query

router = APIRouter(dependencies=[needs(Role.READ)])
ROWS = 30
MOST_WORDS = 8  # looked for one by one
MOST_EXAMPLES = 50_000  # bytes of HTML, roughly: of heavier ones each gets a line
KINDS = {"label": "Labels", "token": "Tokens", "text": "Examples", "metadata": "Metadata"}


@dataclass(frozen=True)
class Asked:
    """What the address says. within: a dictionary's id, kind: one of KINDS; empty for all."""

    q: str
    within: str
    kind: str

    def address(self, **changed: str) -> str:
        asked = {"q": self.q, "dictionary": self.within, "kind": self.kind, **changed}
        return "/search?" + urlencode({name: value for name, value in asked.items() if value})


@dataclass(frozen=True)
class Facet:
    """A narrower (or the whole) list of results. n: its features."""

    name: str
    n: int
    href: str
    is_current: bool


@dataclass(frozen=True)
class Piece:
    """A part of a snippet; is_match: what was looked for."""

    text: str
    is_match: bool


@dataclass(frozen=True)
class ShownHit:
    """why: how it was found, in words that follow the snippet, or stand before one of metadata.

    example: where its metadata matched, with what the feature fires on there, at full strength at `scale`.
    """

    hit: SearchHit
    dictionary: str
    why: str
    snippet: Sequence[Piece]
    example: ShownExample | None
    scale: float


@dataclass(frozen=True)
class SearchPage:
    """single: where nothing has all the words, each that something has. fault: why these cannot be searched for."""

    asked: Asked
    dictionaries: Sequence[Dictionary]
    hits: Sequence[ShownHit]
    total: int
    is_complete: bool
    kinds: Sequence[Facet]
    facets: Sequence[Facet]
    is_by_examples: bool
    next_href: str | None
    find_href: str | None
    single: Sequence[Facet]
    fault: str | None


@router.get("/search")
def show_search(
    session: ReadSession,
    models: Models,
    q: Annotated[str, Query(max_length=200)] = "",
    dictionary: Annotated[str, Query(max_length=100)] = "",
    kind: Literal["", "label", "token", "text", "metadata"] = "",
    cursor: Annotated[str, Query(max_length=1000)] = "",
) -> HTMLResponse:
    asked, known = Asked(q, dictionary, kind), list_dictionaries(session)
    one = next((d for d in known if d.id == dictionary or len(known) == 1), None)
    find_href = f"/dictionaries/{one.id}/find" if one is not None and models.unavailable(one) is None else None
    nothing = SearchPage(asked, known, [], 0, True, [], [], False, None, find_href, [], None)
    if not q.strip():
        return render("search.html", nothing)
    try:
        found = search(session, q, dictionary or None, kind or None, cursor or None, ROWS)
    except Invalid as error:
        return render("search.html", replace(nothing, fault=str(error)), 422)
    titles = {each.id: each.title for each in known}
    hits = _with_room([_shown(hit, titles[hit.dictionary]) for hit in found.hits.items])
    page = SearchPage(
        asked=asked,
        dictionaries=known,
        hits=hits,
        total=found.hits.total,
        is_complete=found.is_complete,
        kinds=_kinds(asked, found),
        facets=_dictionaries(asked, found, known),
        is_by_examples=not kind and not cursor and not {"label", "token"} & found.kinds.keys(),
        next_href=asked.address(cursor=found.hits.next) if found.hits.next else None,
        find_href=find_href,
        single=_one_by_one(session, asked) if not found.hits.total else [],
        fault=None,
    )
    return render("search.html", page)


def found_by_examples(session: Session, dictionary: Dictionary, q: str) -> list[ShownHit]:
    """The first features that a search in this dictionary finds; none where none is, or the words are refused."""
    try:
        found = search(session, q, dictionary.id, None, None, ROWS)
    except Invalid:
        return []
    return _with_room([_shown(hit, dictionary.title) for hit in found.hits.items])


def _one_by_one(session: Session, asked: Asked) -> list[Facet]:
    """Each of several words by itself, where together nothing has them: those that fewest features have first."""
    words = list(dict.fromkeys(term.text for term in parse_query(asked.q).wanted))
    if len(words) == 1:
        return []
    found = {
        word: search(session, word, asked.within or None, asked.kind or None, None, 1).hits.total
        for word in words[:MOST_WORDS]
    }
    some = sorted((word for word, n in found.items() if n), key=lambda word: found[word])
    return [Facet(word, found[word], asked.address(q=word), False) for word in some]


def _shown(hit: SearchHit, dictionary: str) -> ShownHit:
    example = shown(hit.example, View.SNIPPET) if hit.example is not None else None
    peak = hit.example.peak if hit.example is not None else None
    return ShownHit(
        hit, dictionary, _why(hit), cut(hit.snippet, hit.marks), example, peak.activation if peak is not None else 0.0
    )


def _with_room(hits: list[ShownHit]) -> list[ShownHit]:
    """The same, their examples on a line each where the page would be too heavy otherwise."""
    if sum(hit.example.weight for hit in hits if hit.example is not None) <= MOST_EXAMPLES:
        return hits
    return [hit if hit.hit.example is None else replace(hit, example=shown_in_list(hit.hit.example)) for hit in hits]


def _why(hit: SearchHit) -> str:
    examples = f"{hit.n_examples} of its {hit.n_strongest} strongest examples"
    if hit.matched == "label":
        return "label" + (f", and {examples}" if hit.n_examples else "")
    if hit.matched == "token":
        return f"and has it in {examples}" if hit.n_examples else ""
    return f"{examples}:" if hit.matched == "metadata" else f"in {examples}"


def cut(text: str, marks: Sequence[tuple[int, int]]) -> list[Piece]:
    """The text in pieces, those between the marks and the marked ones."""
    pieces, at = [], 0
    for start, end in marks:
        pieces += [Piece(text[at:start], False), Piece(text[start:end], True)]
        at = end
    return [piece for piece in (*pieces, Piece(text[at:], False)) if piece.text]


def _kinds(asked: Asked, found: SearchResults) -> list[Facet]:
    return [
        Facet(name, found.kinds[kind], asked.address(kind="" if kind == asked.kind else kind), kind == asked.kind)
        for kind, name in KINDS.items()
        if kind in found.kinds
    ]


def _dictionaries(asked: Asked, found: SearchResults, known: Sequence[Dictionary]) -> list[Facet]:
    """Offered where there is a choice: several dictionaries, or one and the way back to all."""
    if len(known) < 2:
        return []
    return [
        Facet(
            d.title,
            found.dictionaries[d.id],
            asked.address(dictionary="" if d.id == asked.within else d.id),
            d.id == asked.within,
        )
        for d in known
        if d.id in found.dictionaries
    ]
