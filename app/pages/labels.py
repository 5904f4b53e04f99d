"""A feature's labels: adding, changing, starring, removing, undoing, and their history. Forms that htmx sends too."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.access.author import author_of
from app.access.routes import doorkeeper, needs
from app.domain import Dictionary, LabelChange
from app.errors import Conflict, Invalid, LostUpdate
from app.pages.labelling import ALL_LABELS, AskedLabeller, Labeller, Labelling, Refused, remember_author
from app.pages.web import ReadSession, WriteSession, render
from app.roles import Role
from app.store.dictionaries import get_dictionary
from app.store.labels import (
    MAX_AUTHOR,
    add_label,
    change_label,
    latest_changes,
    list_changes,
    list_labels,
    remove_label,
    set_star,
    undo_change,
)

router = APIRouter(prefix="/dictionaries/{dictionary_id}/features/{index}/labels", dependencies=[needs(Role.READ)])
CHANGES = 30  # of the history at a time
WRITES = [needs(Role.LABEL)]
Author = Annotated[str, Form()]
Text = Annotated[str, Form()]


@dataclass(frozen=True)
class LabelsPage:
    """latest: those of the changes that can be undone. more_href: further labels; older_href: earlier changes."""

    dictionary: Dictionary
    index: int
    labelling: Labelling
    changes: Sequence[LabelChange]
    latest: frozenset[int]
    more_href: str | None
    older_href: str | None


@router.get("")
def show_labels(
    dictionary_id: str,
    index: int,
    session: ReadSession,
    labeller: AskedLabeller,
    before: Annotated[int | None, Query(ge=0, lt=2**31)] = None,
) -> HTMLResponse:
    return _page(session, get_dictionary(session, dictionary_id), index, labeller, before)


@router.post("", dependencies=WRITES)
def add(
    request: Request,
    dictionary_id: str,
    index: int,
    session: WriteSession,
    labeller: AskedLabeller,
    text: Text = "",
    author: Author = "",
) -> Response:
    form = _Form(request, session, get_dictionary(session, dictionary_id), index, labeller, author)
    return form.send(lambda by: add_label(session, form.dictionary, index, text, by), None, text)


@router.post("/{label_id}", dependencies=WRITES)
def change(
    request: Request,
    dictionary_id: str,
    index: int,
    label_id: int,
    session: WriteSession,
    labeller: AskedLabeller,
    version: Annotated[int, Form()],
    text: Text = "",
    author: Author = "",
) -> Response:
    form = _Form(request, session, get_dictionary(session, dictionary_id), index, labeller, author)
    return form.send(
        lambda by: change_label(session, form.dictionary, index, label_id, text, by, version), label_id, text
    )


@router.post("/{label_id}/remove", dependencies=WRITES)
def remove(
    request: Request,
    dictionary_id: str,
    index: int,
    label_id: int,
    session: WriteSession,
    labeller: AskedLabeller,
    version: Annotated[int | None, Form()] = None,
    author: Author = "",
) -> Response:
    form = _Form(request, session, get_dictionary(session, dictionary_id), index, labeller, author)
    return form.send(lambda by: remove_label(session, form.dictionary, index, label_id, by, version), label_id, "")


@router.post("/{label_id}/star", dependencies=WRITES)
def star(
    request: Request,
    dictionary_id: str,
    index: int,
    label_id: int,
    session: WriteSession,
    labeller: AskedLabeller,
    starred: Annotated[bool, Form()],
    author: Author = "",
) -> Response:
    form = _Form(request, session, get_dictionary(session, dictionary_id), index, labeller, author)
    return form.send(
        lambda by: set_star(session, form.dictionary, index, label_id, by, starred), label_id, "", is_change=False
    )


@router.post("/history/{change_id}/undo", dependencies=WRITES)
def undo(
    request: Request,
    dictionary_id: str,
    index: int,
    change_id: int,
    session: WriteSession,
    labeller: AskedLabeller,
    author: Author = "",
) -> Response:
    form = _Form(request, session, get_dictionary(session, dictionary_id), index, labeller, author)
    return form.send(lambda by: undo_change(session, form.dictionary, index, change_id, by), None, "")


@dataclass(frozen=True)
class _Form:
    """One form that was sent: it leads back to the feature, or stays with what was refused and why."""

    request: Request
    session: Session
    dictionary: Dictionary
    index: int
    labeller: Labeller
    author: str

    def send(self, store: Callable[[str], object], label: int | None, text: str, is_change: bool = True) -> Response:
        try:
            by = author_of(self.labeller.person, self.author)
            store(by)
        except LostUpdate as lost:
            return self._refuse(Refused(label, text or lost.theirs, str(lost), lost.theirs, lost.version), 409)
        except (Invalid, Conflict) as refused:
            return self._refuse(Refused(label, text, str(refused)), 422)
        where = f"/dictionaries/{self.dictionary.id}/features/{self.index}"
        if is_change:
            where += f"?changed={list_changes(self.session, self.dictionary, self.index, 1)[0].id}"
        answer = RedirectResponse(f"{where}#labels", 303)
        remember_author(answer, by, doorkeeper(self.request).cookie_path)
        return answer

    def _refuse(self, refused: Refused, status: int) -> HTMLResponse:
        labeller = replace(self.labeller, author=self.author.strip()[:MAX_AUTHOR] or self.labeller.author)
        return _page(self.session, self.dictionary, self.index, labeller, None, refused, status)


def _page(
    session: Session,
    dictionary: Dictionary,
    index: int,
    labeller: Labeller,
    before: int | None,
    refused: Refused | None = None,
    status: int = 200,
) -> HTMLResponse:
    every = list_labels(session, dictionary, index)
    labelling = labeller.labelling(session, dictionary, index, every, refused, ALL_LABELS)
    changes = list_changes(session, dictionary, index, CHANGES + 1, before)
    shown, following = changes[:CHANGES], labeller.after + ALL_LABELS
    page = LabelsPage(
        dictionary=dictionary,
        index=index,
        labelling=labelling,
        changes=shown,
        latest=latest_changes(session, shown),
        more_href=f"{labelling.path}/labels?after={following}" if following < labelling.n_labels else None,
        older_href=f"{labelling.path}/labels?before={shown[-1].id}#history" if len(changes) > CHANGES else None,
    )
    return render("labels.html", page, status)
