"""One feature to be framed by other pages: notebooks and posts. It tells the page around it how high it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import HTMLResponse

from app.access.routes import needs
from app.domain import Dictionary, Feature, Group
from app.middleware.headers import EMBED_HEADERS
from app.pages.snippets import ShownExample, View, shown
from app.pages.web import ReadSession, render
from app.roles import Role
from app.store.dictionaries import get_dictionary
from app.store.examples import list_examples
from app.store.features import get_feature

router = APIRouter(dependencies=[needs(Role.READ)])


@dataclass(frozen=True)
class EmbedPage:
    """theme: light or dark, empty for what the reader's system prefers."""

    dictionary: Dictionary
    feature: Feature
    examples: Sequence[ShownExample]
    theme: str


@router.get("/embed/dictionaries/{dictionary_id}/features/{index}")
def show_embed(
    dictionary_id: str,
    index: int,
    session: ReadSession,
    group: Group = Group.TOP,
    n: Annotated[int, Query(ge=0, le=20)] = 5,
    theme: Annotated[str, Query(pattern="^(light|dark|)$")] = "",
) -> HTMLResponse:
    dictionary = get_dictionary(session, dictionary_id)
    feature = get_feature(session, dictionary, index)
    found = list_examples(session, dictionary, index, group, None, n).items if n else []
    page = render("embed.html", EmbedPage(dictionary, feature, [shown(e, View.SNIPPET) for e in found], theme))
    page.headers.update(EMBED_HEADERS)
    return page
