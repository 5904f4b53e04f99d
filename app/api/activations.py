"""Live activations: any text through the language model and the SAE, now."""

from collections.abc import Mapping

from fastapi import APIRouter
from starlette.responses import Response

from app import live
from app.access.routes import live_call, needs
from app.api.parameters import WITH_A_BODY, StoredDictionary, problems
from app.api.schemas.activations import (
    Activations,
    ActivationsRequest,
    LiveText,
    LiveToken,
    NextToken,
    NextTokens,
    NextTokensRequest,
    TextFeature,
    TokenFeature,
)
from app.errors import Invalid
from app.live import FeatureActivation, LiveFeature
from app.roles import Role
from app.serving import KnownActivationScales, Models, ReadSession, RequestPatience, ServerSettings
from app.store.dictionaries import get_dictionary
from app.store.features import feature_names

router = APIRouter(prefix="/dictionaries/{dictionary_id}", tags=["live"], dependencies=[needs(Role.READ), live_call])
PROBLEMS = problems(*WITH_A_BODY, 404, 422, 500, 503)


# A response made here is sent as it is. One that FastAPI made of a returned value, and the dictionary as a dependency,
# would each take one more turn of a thread: a fifth of what a small model's answer costs besides the model.
@router.post("/activations", summary="Activations of a text", responses=PROBLEMS, response_model=Activations)
def run_activations(
    dictionary_id: str,
    asked: ActivationsRequest,
    session: ReadSession,
    models: Models,
    known: KnownActivationScales,
    settings: ServerSettings,
    patience: RequestPatience,
) -> Response:
    """For every token of each text its strongest features, or those asked for, silent ones with 0."""
    dictionary = get_dictionary(session, dictionary_id)
    if len(asked.texts) > settings.max_texts:
        raise Invalid(
            f"There are {len(asked.texts)} texts; at most {settings.max_texts} are run in one call (max_texts)."
        )
    models.require(dictionary)
    scales = known.of(session, dictionary)
    session.close()  # no connection is held while the model works
    followed = asked.features or []
    texts = models.activations(dictionary, scales, asked.texts, asked.top_k, followed, asked.rank_by, patience)
    follows = asked.features is not None
    shown = {found.index for text in texts for token in text.tokens for found in shown_at(token, follows)}
    ranked = {feature.peak.index for text in texts for feature in text.ranked}
    names = feature_names(session, dictionary, sorted(shown | ranked))
    answer = Activations(
        results=[
            LiveText(
                text=text.text,
                tokens=[
                    LiveToken(
                        position=token.position,
                        text=token.text,
                        start=token.start,
                        end=token.end,
                        features=[_token_feature(found, names) for found in shown_at(token, follows)],
                    )
                    for token in text.tokens
                ],
                features=[_text_feature(feature, names) for feature in text.ranked],
            )
            for text in texts
        ]
    )
    return Response(answer.model_dump_json(), media_type="application/json")


@router.post("/next-tokens", summary="What comes next in a text", responses=PROBLEMS)
def predict_next_tokens(
    dictionary: StoredDictionary,
    asked: NextTokensRequest,
    session: ReadSession,
    models: Models,
    patience: RequestPatience,
) -> NextTokens:
    """The likeliest next tokens after one token of the text, with the model as it is."""
    session.close()
    found = models.next_tokens(dictionary, asked.text, asked.position, asked.top_k, patience)
    return NextTokens(next=[NextToken.model_validate(token) for token in found])


def shown_at(token: live.LiveToken, follows: bool) -> list[FeatureActivation]:
    return list(token.followed if follows else token.features)


def _token_feature(found: FeatureActivation, names: Mapping[int, str]) -> TokenFeature:
    return TokenFeature(
        index=found.index, label=names.get(found.index), activation=found.activation, percentile=found.percentile
    )


def _text_feature(feature: LiveFeature, names: Mapping[int, str]) -> TextFeature:
    return TextFeature(
        index=feature.peak.index,
        label=names.get(feature.peak.index),
        position=feature.peak.position,
        max_activation=feature.peak.activation,
        percentile=feature.peak.percentile,
        sum=feature.total,
        n_tokens=feature.n_tokens,
        n_as_strong=feature.n_as_strong,
    )
