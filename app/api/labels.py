"""Labels by people: given, changed, starred, taken away, and what happened to them."""

import re
from typing import Annotated

from fastapi import APIRouter, Body, Header, Path, Query, Response

from app import domain
from app.access.author import author_of
from app.access.routes import needs
from app.access.visit import CurrentPerson
from app.api.parameters import WITH_A_BODY, StoredDictionary, problems
from app.api.schemas.labels import Label, LabelChange, LabelHistory, LabelList, LabelWritten, Signed
from app.errors import Invalid, VersionMissing
from app.roles import Role
from app.serving import ReadSession, WriteSession
from app.store.labels import (
    add_label,
    change_label,
    get_label,
    list_changes,
    list_labels,
    remove_label,
    set_star,
    undo_change,
)

router = APIRouter(
    prefix="/dictionaries/{dictionary_id}/features/{index}/labels", tags=["labels"], dependencies=[needs(Role.READ)]
)
WRITES = [needs(Role.LABEL)]
LabelId = Annotated[int, Path(description="The label's id, as the feature's `labels` have it.")]
ChangeId = Annotated[int, Path(description="The change's id, as the history has it.")]
IfMatch = Annotated[
    str | None, Header(description="The label's ETag, or *; another one in the store refuses the call.")
]
Author = Annotated[str | None, Query(max_length=100, description="Who does it, where nobody is signed in.")]
_READ_PROBLEMS = problems(404, 422, 500, 503)
_PROBLEMS = problems(*WITH_A_BODY, 404, 422, 500, 503, 507)
_TAG = re.compile(r'"(\d{1,9})"')


@router.get("", summary="List labels", responses=_READ_PROBLEMS)
def read_labels(dictionary: StoredDictionary, index: int, session: ReadSession) -> LabelList:
    """A feature's labels; the first is what it is called by: most stars, then the newest by a person."""
    return LabelList(labels=[Label.model_validate(label) for label in list_labels(session, dictionary, index)])


@router.post("", summary="Add a label", status_code=201, responses=_PROBLEMS, dependencies=WRITES)
def create_label(
    dictionary: StoredDictionary,
    index: int,
    written: LabelWritten,
    session: WriteSession,
    person: CurrentPerson,
    response: Response,
) -> Label:
    """A new label."""
    author = author_of(person, written.author)
    return _tagged(response, add_label(session, dictionary, index, written.text, author))


@router.get("/history", summary="Labels' history", responses=_READ_PROBLEMS)
def read_history(dictionary: StoredDictionary, index: int, session: ReadSession) -> LabelHistory:
    """What happened to a feature's labels, the removed ones among them."""
    changes = list_changes(session, dictionary, index)
    return LabelHistory(changes=[LabelChange.model_validate(change) for change in changes])


@router.post(
    "/history/{change_id}/undo", summary="Undo a change", responses=_PROBLEMS | problems(409), dependencies=WRITES
)
def undo(
    dictionary: StoredDictionary,
    index: int,
    change_id: ChangeId,
    session: WriteSession,
    person: CurrentPerson,
    signed: Annotated[Signed, Body()],
) -> LabelChange:
    """Puts a label back to what it was before its latest change; the answer is the change that this makes."""
    author = author_of(person, signed.author)
    return LabelChange.model_validate(undo_change(session, dictionary, index, change_id, author))


@router.get("/{label_id:int}", summary="One label", responses=_READ_PROBLEMS)
def read_label(
    dictionary: StoredDictionary, index: int, label_id: LabelId, session: ReadSession, response: Response
) -> Label:
    """With its version as the ETag."""
    return _tagged(response, get_label(session, dictionary, index, label_id))


@router.put("/{label_id:int}", summary="Change a label", responses=_PROBLEMS | problems(412, 428), dependencies=WRITES)
def replace_label(
    dictionary: StoredDictionary,
    index: int,
    label_id: LabelId,
    written: LabelWritten,
    session: WriteSession,
    person: CurrentPerson,
    response: Response,
    if_match: IfMatch = None,
) -> Label:
    """Another text for a label that is there, if it still has the version that If-Match names."""
    if if_match is None:
        raise VersionMissing("Say which version you change: If-Match with the label's ETag, or * for any.")
    author = author_of(person, written.author)
    version = _version(if_match, get_label(session, dictionary, index, label_id).version)
    return _tagged(response, change_label(session, dictionary, index, label_id, written.text, author, version))


@router.delete(
    "/{label_id:int}",
    summary="Remove a label",
    status_code=204,
    responses=_PROBLEMS | problems(412),
    dependencies=WRITES,
)
def delete_label(
    dictionary: StoredDictionary,
    index: int,
    label_id: LabelId,
    session: WriteSession,
    person: CurrentPerson,
    author: Author = None,
    if_match: IfMatch = None,
) -> Response:
    """It is gone, until that is undone; the best of the others becomes what the feature is called by."""
    by = author_of(person, author)
    version = None
    if if_match is not None:
        version = _version(if_match, get_label(session, dictionary, index, label_id).version)
    remove_label(session, dictionary, index, label_id, by, version)
    return Response(status_code=204)


@router.put("/{label_id:int}/star", summary="Star a label", responses=_PROBLEMS, dependencies=WRITES)
def give_star(
    dictionary: StoredDictionary,
    index: int,
    label_id: LabelId,
    session: WriteSession,
    person: CurrentPerson,
    signed: Annotated[Signed, Body()],
) -> Label:
    """One star a person; the label with the most is what the feature is called by."""
    author = author_of(person, signed.author)
    return Label.model_validate(set_star(session, dictionary, index, label_id, author, True))


@router.delete("/{label_id:int}/star", summary="Take a star back", responses=_PROBLEMS, dependencies=WRITES)
def take_star(
    dictionary: StoredDictionary,
    index: int,
    label_id: LabelId,
    session: WriteSession,
    person: CurrentPerson,
    author: Author = None,
) -> Label:
    """The label without this person's star."""
    return Label.model_validate(set_star(session, dictionary, index, label_id, author_of(person, author), False))


def _tagged(response: Response, label: domain.Label) -> Label:
    response.headers["etag"] = f'"{label.version}"'
    return Label.model_validate(label)


def _version(if_match: str, current: int) -> int | None:
    """The version that If-Match (RFC 9110, 13.1.1) allows: the current one where it is named, None for any."""
    if if_match.strip() == "*":
        return None
    versions = [int(tag) for tag in _TAG.findall(if_match)]
    if not versions:
        raise Invalid(f'If-Match is {if_match!r}; it takes the label\'s ETag, such as "{current}", or *.')
    return current if current in versions else versions[0]
