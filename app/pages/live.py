"""Any text through model and SAE now: features per token and overall, one of them followed along the text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from starlette.responses import HTMLResponse

from app.access.routes import needs
from app.domain import ActivationScale, Dictionary, FeatureActivation, FeatureSummary, LiveText
from app.engine.runtime import Runtime
from app.pages.snippets import ShownToken
from app.pages.web import Models, ReadSession, ServerSettings, render
from app.roles import Role
from app.store.dictionaries import get_dictionary
from app.store.features import get_scales, get_summaries

router = APIRouter(dependencies=[needs(Role.READ)])
A_TOKEN = 10  # features shown for one token
EXAMPLES = (
    "The goalkeeper tipped the ball over the bar, and the crowd went silent.",
    "Add the onions to the pan and stir until they turn golden.",
    "“I never said that,” she whispered, closing the door behind her.",
    "def area(radius): return 3.14159 * radius ** 2",
)


@dataclass(frozen=True)
class Found:
    """A feature at its place in the text. at: the token there; percentile: among its own activations in the index."""

    feature: FeatureSummary
    activation: float
    percentile: float | None
    at: str
    position: int
    href: str
    is_followed: bool


@dataclass(frozen=True)
class TokenLink:
    token: ShownToken
    href: str
    is_chosen: bool


@dataclass(frozen=True)
class LiveResult:
    """followed: the feature whose activations the text is shown with; None where no feature fires."""

    tokens: Sequence[TokenLink]
    followed: FeatureSummary | None
    scale: float
    strongest: Sequence[Found]
    chosen: int
    chosen_text: str
    at_chosen: Sequence[Found]


@dataclass(frozen=True)
class LivePage:
    dictionary: Dictionary
    unavailable: str | None
    text: str
    most: int
    result: LiveResult | None
    examples: Sequence[tuple[str, str]]


@router.get("/dictionaries/{dictionary_id}/live")
def show_live(
    dictionary_id: str,
    session: ReadSession,
    models: Models,
    settings: ServerSettings,
    text: str = "",
    feature: Annotated[int | None, Query(ge=0)] = None,
    token: Annotated[int | None, Query(ge=0)] = None,
) -> HTMLResponse:
    dictionary = get_dictionary(session, dictionary_id)
    unavailable = models.unavailable(dictionary)
    text = text.replace("\r\n", "\n")  # forms send line ends so
    result = None
    if text.strip() and unavailable is None:
        found, followed = run(models, dictionary, text, feature)
        shown = {f.index for f in found.strongest} | {f.index for t in found.tokens for f in t.features}
        indices = sorted(shown | ({followed} if followed is not None else set()))
        result = live_result(
            dictionary,
            found,
            followed,
            feature,
            token,
            get_summaries(session, dictionary, indices),
            get_scales(session, dictionary, indices),
        )
    examples = [(example, address(dictionary, example, None, None)) for example in EXAMPLES]
    return render("live.html", LivePage(dictionary, unavailable, text, settings.max_text, result, examples))


def run(models: Runtime, dictionary: Dictionary, text: str, feature: int | None) -> tuple[LiveText, int | None]:
    """The text's activations with one feature followed: the one asked for, else the strongest."""
    if feature is None:
        (first,) = models.activations(dictionary, [text], A_TOKEN, [])
        if not first.strongest:
            return first, None
        feature = first.strongest[0].index
    (found,) = models.activations(dictionary, [text], A_TOKEN, [feature])
    return found, feature


def live_result(
    dictionary: Dictionary,
    found: LiveText,
    followed: int | None,
    asked: int | None,
    token: int | None,
    summaries: Mapping[int, FeatureSummary],
    scales: Mapping[int, ActivationScale],
) -> LiveResult:
    """What of the text is shown, with one token chosen: the one asked for, else where the followed one peaks."""
    values = [token.followed[0].activation if token.followed else 0.0 for token in found.tokens]
    peak = max(range(len(values)), key=lambda position: values[position])
    chosen = token if token is not None and token < len(found.tokens) else peak

    def shown(activation: FeatureActivation) -> Found:
        return Found(
            feature=summaries[activation.index],
            activation=activation.activation,
            percentile=scales[activation.index].percentile(activation.activation),
            at=found.tokens[activation.position].text,
            position=activation.position,
            href=address(dictionary, found.text, activation.index, None),
            is_followed=activation.index == followed,
        )

    stored_top = summaries[followed].max_activation if followed is not None else 0.0
    return LiveResult(
        tokens=[
            TokenLink(
                ShownToken(live.text, value, value > 0 and position == peak),
                address(dictionary, found.text, asked, position),
                position == chosen,
            )
            for position, (live, value) in enumerate(zip(found.tokens, values, strict=True))
        ],
        followed=summaries[followed] if followed is not None else None,
        scale=max(stored_top, values[peak]),
        strongest=[shown(activation) for activation in found.strongest],
        chosen=chosen,
        chosen_text=found.tokens[chosen].text,
        at_chosen=[shown(activation) for activation in found.tokens[chosen].features],
    )


def address(dictionary: Dictionary, text: str, feature: int | None, token: int | None) -> str:
    state = {"text": text, "feature": feature, "token": token}
    return f"/dictionaries/{dictionary.id}/live?" + urlencode({k: v for k, v in state.items() if v is not None})
