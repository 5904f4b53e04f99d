"""Features: a dictionary's list with its sorts and filters, and one feature whole."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.access.routes import needs
from app.api.parameters import Cursor, Filter, Limit, StoredDictionary, problems
from app.api.schemas.features import Feature, FeatureList, ListedFeature
from app.roles import Role
from app.serving import ReadSession
from app.store.feature_list import list_features
from app.store.feature_order import Sort
from app.store.features import get_feature
from app.store.labels import list_labels

router = APIRouter(prefix="/dictionaries/{dictionary_id}/features", tags=["features"], dependencies=[needs(Role.READ)])


@router.get("", summary="List features", responses=problems(404, 422, 500, 503))
def read_features(
    dictionary: StoredDictionary,
    session: ReadSession,
    matching: Filter,
    sort: Sort = Sort.INDEX,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> FeatureList:
    """Sorted and filtered, a page at a time; a sort with `-` before it is descending."""
    found = list_features(session, dictionary, matching, sort, cursor, limit)
    features = [ListedFeature.model_validate(feature) for feature in found.items]
    return FeatureList(features=features, next=found.next, total=found.total)


@router.get("/{index}", summary="One feature", responses=problems(404, 422, 500, 503))
def read_feature(
    dictionary: StoredDictionary,
    index: int,
    session: ReadSession,
    response: Response,
    download: Annotated[bool, Query(description="As a file to keep.")] = False,
) -> Feature:
    """Every statistic of one feature, its logits, neighbours and labels."""
    if download:
        response.headers["content-disposition"] = f'attachment; filename="{dictionary.id}-{index}.json"'
    return Feature.of(get_feature(session, dictionary, index), list_labels(session, dictionary, index))
