"""Examples: the sentences shown for a feature, with its activation at each token."""

from fastapi import APIRouter

from app.access.routes import needs
from app.api.parameters import Cursor, Limit, StoredDictionary, problems
from app.api.schemas.examples import Example, ExampleList
from app.domain import Group
from app.roles import Role
from app.serving import ReadSession
from app.store.examples import list_examples
from app.store.features import get_feature

router = APIRouter(
    prefix="/dictionaries/{dictionary_id}/features/{index}/examples", tags=["features"], dependencies=[needs(Role.READ)]
)


@router.get("", summary="Examples of one feature", responses=problems(404, 422, 500, 503))
def read_examples(
    dictionary: StoredDictionary,
    index: int,
    session: ReadSession,
    group: Group = Group.TOP,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> ExampleList:
    """One group of examples: the strongest, one of five intervals of (0, max], silent ones, or contrasts."""
    feature = get_feature(session, dictionary, index)
    found = list_examples(session, dictionary, feature.index, group, cursor, limit)
    examples = [Example.model_validate(example) for example in found.items]
    return ExampleList(examples=examples, next=found.next, total=found.total)
