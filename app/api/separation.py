"""Finding features by examples: those that fire in some texts and not in others."""

from fastapi import APIRouter

from app.access.routes import live_call, needs
from app.api.parameters import WITH_A_BODY, StoredDictionary, problems
from app.api.schemas.separation import SeparatingFeature, Separation, SeparationRequest
from app.roles import Role
from app.serving import Models, ReadSession, RequestPatience
from app.store.features import feature_names

router = APIRouter(
    prefix="/dictionaries/{dictionary_id}/find", tags=["live"], dependencies=[needs(Role.READ), live_call]
)


@router.post("", summary="Features by examples", responses=problems(*WITH_A_BODY, 404, 422, 500, 503))
def find_by_examples(
    dictionary: StoredDictionary,
    asked: SeparationRequest,
    session: ReadSession,
    models: Models,
    patience: RequestPatience,
) -> Separation:
    """The features whose peaks best tell the two lists apart, the best first."""
    session.close()  # no connection is held while the model works
    found = models.separate(dictionary, asked.having, asked.lacking, asked.limit, patience)
    names = feature_names(session, dictionary, [feature.index for feature in found.features])
    return Separation(
        n_with=found.n_with,
        n_without=found.n_without,
        n_compared=found.n_compared,
        by_chance=found.by_chance,
        features=[
            SeparatingFeature(
                index=one.index,
                label=names.get(one.index),
                auc=one.auc,
                mean_with=one.mean_with,
                mean_without=one.mean_without,
                n_with=one.n_with,
                n_without=one.n_without,
            )
            for one in found.features
        ],
    )
