"""Live activations: any text through the language model and the SAE, now."""

from collections.abc import Mapping

from fastapi import APIRouter

from app.access.routes import needs
from app.api.parameters import StoredDictionary, problems
from app.api.schemas.activations import Activations, ActivationsRequest, LiveText, LiveToken, TokenFeature
from app.domain import ActivationScale, FeatureActivation
from app.errors import Invalid
from app.roles import Role
from app.serving import Models, ReadSession, ServerSettings
from app.store.features import feature_names, get_scales

router = APIRouter(prefix="/dictionaries/{dictionary_id}/activations", tags=["live"], dependencies=[needs(Role.READ)])


@router.post("", summary="Activations of a text", responses=problems(400, 404, 413, 422, 500, 503))
def run_activations(
    dictionary: StoredDictionary,
    asked: ActivationsRequest,
    session: ReadSession,
    models: Models,
    settings: ServerSettings,
) -> Activations:
    """For every token of each text its strongest features, or those asked for, silent ones with 0."""
    if len(asked.texts) > settings.max_texts:
        raise Invalid(f"There are {len(asked.texts)} texts; at most {settings.max_texts} are run in one call.")
    models.require(dictionary)
    texts = models.activations(dictionary, asked.texts, asked.top_k, asked.features or [])
    chosen = [
        [list(token.features if asked.features is None else token.followed) for token in text.tokens] for text in texts
    ]
    indices = sorted({found.index for text in chosen for token in text for found in token})
    names = feature_names(session, dictionary, indices)
    scales = get_scales(session, dictionary, indices)
    return Activations(
        results=[
            LiveText(
                text=text.text,
                tokens=[
                    LiveToken(
                        position=token.position,
                        text=token.text,
                        start=token.start,
                        end=token.end,
                        features=[_shape(feature, names, scales) for feature in features],
                    )
                    for token, features in zip(text.tokens, found, strict=True)
                ],
            )
            for text, found in zip(texts, chosen, strict=True)
        ]
    )


def _shape(found: FeatureActivation, names: Mapping[int, str], scales: Mapping[int, ActivationScale]) -> TokenFeature:
    return TokenFeature(
        index=found.index,
        label=names.get(found.index),
        activation=found.activation,
        percentile=scales[found.index].percentile(found.activation),
    )
