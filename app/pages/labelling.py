"""A feature's labels on a page: who reads them, what may be done with them, and what was just done or refused."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote, unquote

from fastapi import Depends, Request
from pydantic import Field
from sqlalchemy.orm import Session
from starlette.responses import Response

from app.access.visit import CurrentPerson
from app.domain import Dictionary, Label, LabelChange
from app.roles import Person, Role
from app.serving import query_as
from app.store.labels import MAX_AUTHOR, get_change

AUTHOR_COOKIE = "featurescope_author"
A_YEAR = 365 * 24 * 3600
LABELS, ALL_LABELS = 4, 15  # shown on the feature's page, and at a time on the page of its labels


@dataclass(frozen=True)
class Refused:
    """What could not be stored, kept for another try. label: None for a new one. theirs: what somebody else wrote."""

    label: int | None
    text: str
    why: str
    theirs: str | None = None
    version: int | None = None


@dataclass(frozen=True)
class Labelling:
    """path, name: the feature's. labels: those shown, of n_labels. author: who the reader said to be, empty where never
    asked; is_signed_in: whether that is settled. editing: the label whose form is open. changed: what was just done,
    and can be undone. outdated: labels that were written for another decoder row, before the dictionary was replaced.
    """

    path: str
    name: str | None
    labels: Sequence[Label]
    n_labels: int
    may_label: bool
    author: str
    is_signed_in: bool
    editing: int | None
    changed: LabelChange | None
    refused: Refused | None
    outdated: frozenset[int]


@dataclass(frozen=True)
class Labeller:
    """Who asks, and which part of the labels the address opens. after: how many labels are passed over."""

    person: Person
    author: str
    editing: int | None
    changed: int | None
    after: int

    def labelling(
        self,
        session: Session,
        dictionary: Dictionary,
        index: int,
        every: Sequence[Label],
        refused: Refused | None = None,
        most: int = LABELS,
    ) -> Labelling:
        """every: the feature's labels, as list_labels gives them."""
        editing = refused.label if refused is not None else self.editing
        shown = every[self.after : self.after + most]
        labels = [*shown, *(label for label in every if label.id == editing and label not in shown)]
        has_changed = index in dictionary.changed_under_labels
        return Labelling(
            path=f"/dictionaries/{dictionary.id}/features/{index}",
            name=every[0].text if every else None,
            labels=labels,
            n_labels=len(every),
            may_label=self.person.may(Role.LABEL, dictionary.id),
            author=self.person.name or self.author,
            is_signed_in=self.person.name is not None,
            editing=editing,
            changed=get_change(session, dictionary, index, self.changed) if self.changed is not None else None,
            refused=refused,
            outdated=frozenset(
                label.id for label in labels if has_changed and label.changed_at < dictionary.created_at
            ),
        )


@dataclass(frozen=True)
class _Asked:
    """What an address says of labels."""

    edit: int | None = None
    changed: int | None = None
    after: Annotated[int, Field(ge=0, le=1_000_000)] = 0


async def read_labeller(
    request: Request, person: CurrentPerson, asked: Annotated[_Asked, Depends(query_as(_Asked))]
) -> Labeller:
    author = unquote(request.cookies.get(AUTHOR_COOKIE, ""))[:MAX_AUTHOR]
    return Labeller(person, author, asked.edit, asked.changed, asked.after)


AskedLabeller = Annotated[Labeller, Depends(read_labeller)]


def remember_author(answer: Response, author: str, path: str) -> None:
    """The name is asked once. path: where this server's pages begin."""
    answer.set_cookie(AUTHOR_COOKIE, quote(author), max_age=A_YEAR, path=path, httponly=True, samesite="lax")
