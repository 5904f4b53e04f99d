"""Attribution: which features made the model expect a token."""

from fastapi import APIRouter

from app import live
from app.access.routes import live_call, needs
from app.api.parameters import WITH_A_BODY, StoredDictionary, problems
from app.api.schemas.activations import NextToken
from app.api.schemas.attribution import Attribution, AttributionRequest, FeatureContribution
from app.roles import Role
from app.serving import Models, ReadSession, RequestPatience
from app.store.features import feature_names

router = APIRouter(
    prefix="/dictionaries/{dictionary_id}/attribute", tags=["live"], dependencies=[needs(Role.READ), live_call]
)


@router.post("", summary="Why a token is expected", responses=problems(*WITH_A_BODY, 404, 422, 500, 503))
def attribute_token(
    dictionary: StoredDictionary,
    asked: AttributionRequest,
    session: ReadSession,
    models: Models,
    patience: RequestPatience,
) -> Attribution:
    """Contributions by gradient times activation, and by true ablation for the strongest of them."""
    session.close()  # no connection is held while the model works
    request = live.AttributionRequest(asked.text, asked.position, asked.target, asked.versus, asked.n)
    found = models.attribute(dictionary, request, patience)
    names = feature_names(session, dictionary, [feature.index for feature in found.features])
    return Attribution(
        tokens=list(found.tokens),
        position=found.position,
        target=NextToken.model_validate(found.target),
        versus=None if found.versus is None else NextToken.model_validate(found.versus),
        value=found.value,
        from_features=found.from_features,
        from_error=found.from_error,
        from_bias=found.from_bias,
        from_bos=found.from_bos,
        rest=found.rest,
        by_token=list(found.by_token),
        features=[
            FeatureContribution(
                index=one.index,
                label=names.get(one.index),
                contribution=one.contribution,
                by_token=list(one.by_token),
                ablation_effect=one.ablation_effect,
            )
            for one in found.features
        ],
        correlation=found.correlation,
        next=[NextToken.model_validate(token) for token in found.next_tokens],
    )
