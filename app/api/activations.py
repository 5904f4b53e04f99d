"""Live activations: any text through the language model and the SAE, now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

from fastapi import APIRouter
from pydantic_core import to_json
from starlette.responses import Response

from app.access.routes import live_call, needs
from app.api.parameters import WITH_A_BODY, StoredDictionary, problems
from app.api.schemas.activations import Activations, ActivationsRequest, NextToken, NextTokens, NextTokensRequest
from app.errors import Invalid
from app.live import LiveFeature
from app.roles import Role
from app.scales import Scales
from app.serving import KnownActivationScales, Models, ReadSession, RequestPatience, ServedDatabase
from app.store.dictionaries import known_dictionary
from app.store.names import known_names

if TYPE_CHECKING:  # browsing alone needs no numpy
    from app.engine.live_texts import RunText, TokenRows

Json: TypeAlias = dict[str, Any]
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
    database: ServedDatabase,
    patience: RequestPatience,
) -> Response:
    """For every token of each text its strongest features, or those asked for, silent ones with 0."""
    dictionary = known_dictionary(database, session, dictionary_id)
    most = models.settings.max_texts
    if len(asked.texts) > most:
        raise Invalid(f"There are {len(asked.texts)} texts; at most {most} are run in one call (max_texts).")
    models.require(dictionary)
    scales = known.of(session, dictionary)
    session.close()  # no connection is held while the model works
    runs = models.run_texts(dictionary, asked.texts, asked.top_k, asked.features or [], patience, gives_way=True)
    with models.turn.taken():
        texts = [_rows_of(text, run, asked, scales) for text, run in zip(asked.texts, runs, strict=True)]
        names = known_names(database, dictionary, chain.from_iterable(text.indices for text in texts))
        # Made as the schema has it, and not checked against it again: there are hundreds of numbers in one answer.
        results = [_text(text, names) for text in texts]
        return Response(to_json({"results": results}, inf_nan_mode="null"), media_type="application/json")


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


@dataclass(frozen=True)
class _TextRows:
    """What the answer shows of one text. n_shown: features of each token, the first of its row."""

    text: str
    run: "RunText"
    rows: "TokenRows"
    n_shown: Sequence[int]
    ranked: Sequence[LiveFeature]

    @property
    def indices(self) -> set[int]:
        shown = (row[:n] for row, n in zip(self.rows.features, self.n_shown, strict=True))
        return set().union(*shown) | {feature.peak.index for feature in self.ranked}


def _rows_of(text: str, run: "RunText", asked: ActivationsRequest, scales: Scales) -> _TextRows:
    from app.engine import live_texts

    first = live_texts.ranked(run.kept, scales, asked.rank_by)
    if asked.features is not None:
        rows = live_texts.followed_rows(run.kept, asked.features, scales)
        return _TextRows(text, run, rows, [len(asked.features)] * len(run.starts), first)
    return _TextRows(text, run, live_texts.strongest(run.kept, scales), live_texts.n_shown(run.kept), first)


def _text(found: _TextRows, names: Mapping[int, str]) -> Json:
    rows, label = found.rows, names.get
    spans = zip(found.run.starts, found.run.ends, strict=True)
    shown = zip(rows.features, rows.activations, rows.percentiles, found.n_shown, strict=True)
    return {
        "text": found.text,
        "tokens": [
            {
                "position": position,
                "text": found.text[start:end],
                "start": start,
                "end": end,
                "features": [
                    {"index": index, "label": label(index), "activation": activation, "percentile": percentile}
                    for index, activation, percentile in zip(indices[:n], activations, percentiles, strict=False)
                ],
            }
            for position, ((start, end), (indices, activations, percentiles, n)) in enumerate(
                zip(spans, shown, strict=True)
            )
        ],
        "features": [_text_feature(feature, names) for feature in found.ranked],
    }


def _text_feature(feature: LiveFeature, names: Mapping[int, str]) -> Json:
    return {
        "index": feature.peak.index,
        "label": names.get(feature.peak.index),
        "position": feature.peak.position,
        "max_activation": feature.peak.activation,
        "percentile": feature.peak.percentile,
        "sum": feature.total,
        "n_tokens": feature.n_tokens,
        "n_as_strong": feature.n_as_strong,
    }
