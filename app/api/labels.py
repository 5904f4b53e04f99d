"""Labels by people: given, changed and taken away."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from app.access.routes import needs
from app.api.parameters import StoredDictionary, problems
from app.api.schemas.labels import Label, LabelWritten
from app.roles import Role
from app.serving import WriteSession
from app.store.labels import add_label, change_label, remove_label

router = APIRouter(
    prefix="/dictionaries/{dictionary_id}/features/{index}/labels", tags=["labels"], dependencies=[needs(Role.LABEL)]
)
LabelId = Annotated[int, Path(description="The label's id, as the feature's `labels` have it.")]
_PROBLEMS = problems(400, 404, 413, 422, 500, 503, 507)


@router.post("", summary="Add a label", status_code=201, responses=_PROBLEMS)
def create_label(dictionary: StoredDictionary, index: int, written: LabelWritten, session: WriteSession) -> Label:
    """A new label; the newest one by a person is what the feature is called by."""
    return Label.model_validate(add_label(session, dictionary, index, written.text, written.author))


@router.put("/{label_id}", summary="Change a label", responses=_PROBLEMS)
def replace_label(
    dictionary: StoredDictionary, index: int, label_id: LabelId, written: LabelWritten, session: WriteSession
) -> Label:
    """Another text for a label that is there."""
    return Label.model_validate(change_label(session, dictionary, index, label_id, written.text, written.author))


@router.delete("/{label_id}", summary="Remove a label", status_code=204, responses=_PROBLEMS)
def delete_label(dictionary: StoredDictionary, index: int, label_id: LabelId, session: WriteSession) -> Response:
    """It is gone; the best of the others becomes what the feature is called by."""
    remove_label(session, dictionary, index, label_id)
    return Response(status_code=204)
