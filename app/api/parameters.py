"""What calls have in common: the parameters of addresses and lists, and the errors that they document."""

from typing import Annotated, Any

from fastapi import Depends, Query

from app.api.schemas.shape import Problem
from app.domain import Dictionary
from app.serving import ReadSession
from app.store.dictionaries import get_dictionary
from app.store.feature_list import FeatureFilter

Responses = dict[int | str, dict[str, Any]]
MEANINGS = {
    400: "The body is not readable as JSON.",
    401: "You are not signed in, or your token is no good; `detail` says which.",
    403: "You may not do this; `detail` says what role it takes.",
    404: "There is no such dictionary or feature; `detail` says which there are.",
    408: "The rest of the body did not come in time.",
    409: "What it would undo has changed again since; `detail` says so.",
    412: "Somebody else has changed the label meanwhile; `mine` and `theirs` are both texts, `version` is theirs.",
    413: "The body is larger than this server takes.",
    414: "The address is longer than this server takes; POST a long text.",
    415: "The body is not sent as application/json.",
    421: "The server does not go by the name that was asked for.",
    422: "A parameter or the body is not valid; `detail` names it and says what it should be.",
    428: "The call changes something, and does not say which version of it: send If-Match.",
    429: "Too many calls; `Retry-After` says when to come back.",
    431: "The headers are larger than this server takes.",
    500: "An error of the server's own.",
    503: "Busy, stopped after too long, or no model is served; `detail` says which, `Retry-After` when to come back.",
    507: "The disk is full; nothing stored is lost, and it works again when there is room.",
}
EVERYWHERE = (401, 403, 414, 421, 429, 431)
WITH_A_BODY = (400, 408, 413)


def problems(*statuses: int) -> Responses:
    """The OpenAPI entries of the error answers; those that every call may give are always among them."""
    content = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    return {
        status: {"description": MEANINGS[status], "content": content} for status in sorted({*statuses, *EVERYWHERE})
    }


def stored_dictionary(dictionary_id: str, session: ReadSession) -> Dictionary:
    return get_dictionary(session, dictionary_id)


StoredDictionary = Annotated[Dictionary, Depends(stored_dictionary)]
Limit = Annotated[int, Query(ge=1, le=200, description="Rows of one page.")]
Cursor = Annotated[str | None, Query(max_length=1000, description="`next` of the page before; left out for the first.")]
Words = Annotated[str | None, Query(min_length=1, max_length=200)]
Least = Annotated[float | None, Query(ge=0, allow_inf_nan=False)]


def feature_filter(
    q: Annotated[Words, Query(description="In a label or a top token, or a feature's index.")] = None,
    min_density: Annotated[Least, Query(le=1)] = None,
    max_density: Annotated[Least, Query(le=1)] = None,
    min_max_activation: Least = None,
    max_max_activation: Least = None,
    alive: Annotated[bool | None, Query(description="Whether it ever fired.")] = None,
    labelled: bool | None = None,
    token: Annotated[Words, Query(description="One of the tokens it fires on most.")] = None,
    promotes: Annotated[Words, Query(description="One of the tokens it promotes most.")] = None,
    about: Annotated[
        Words, Query(description="In the metadata value that most of its strongest examples have.")
    ] = None,
) -> FeatureFilter:
    return FeatureFilter(
        q=q,
        min_density=min_density,
        max_density=max_density,
        min_max_activation=min_max_activation,
        max_max_activation=max_max_activation,
        alive=alive,
        labelled=labelled,
        token=token,
        promotes=promotes,
        about=about,
    )


Filter = Annotated[FeatureFilter, Depends(feature_filter)]
