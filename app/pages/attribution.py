"""Attribution: which features made the model expect a token, by gradient and by ablation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from starlette.responses import HTMLResponse

from app.access.routes import live_page, needs
from app.domain import Dictionary, FeatureSummary
from app.errors import Conflict, Invalid
from app.live import Attribution, AttributionRequest, FeatureContribution, NextToken
from app.pages.live_forms import NumberOrBlank, fits_links
from app.pages.loading import render_loading
from app.pages.web import Models, ReadSession, RequestPatience, ServerSettings, render
from app.roles import Role
from app.store.dictionaries import get_dictionary
from app.store.features import get_summaries

router = APIRouter(dependencies=[needs(Role.READ), live_page("text")])
SWITCHED_OFF = 10  # features, each by itself
EXAMPLES = (
    "She won the match in straight",
    "Add the onions to the pan and stir until they turn golden",
    "He opened the",
)


@dataclass(frozen=True)
class Asked:
    """What the page's address says. target, versus: token ids, from a link; words: as typed, which win."""

    dictionary: Dictionary
    text: str
    token: int | None = None
    target: int | None = None
    versus: int | None = None
    target_word: str = ""
    versus_word: str = ""
    feature: int | None = None
    n: int = SWITCHED_OFF

    @property
    def href(self) -> str:
        """What is the default is left out."""
        state = {"text": self.text, "token": self.token, "target": self.target, "versus": self.versus}
        state |= {"target_word": self.target_word or None, "versus_word": self.versus_word or None}
        state |= {"feature": self.feature, "n": None if self.n == SWITCHED_OFF else self.n}
        kept = {name: value for name, value in state.items() if value is not None}
        return f"/dictionaries/{self.dictionary.id}/attribute?" + urlencode(kept)

    def to_request(self) -> AttributionRequest:
        target = self.target_word or self.target
        versus = self.versus_word or self.versus
        return AttributionRequest(self.text, self.token, target, versus, self.n)


@dataclass(frozen=True)
class ContributionToken:
    """contribution: of all features, or of the one chosen; may be below 0."""

    text: str
    contribution: float
    href: str
    is_last: bool


@dataclass(frozen=True)
class Candidate:
    """A next token that can be explained, or held against the one that is."""

    token: NextToken
    explain_href: str
    versus_href: str
    is_target: bool
    is_versus: bool


@dataclass(frozen=True)
class Contributor:
    feature: FeatureSummary
    found: FeatureContribution
    shade_href: str
    is_shown: bool


@dataclass(frozen=True)
class AttributionResult:
    """scale: the contribution shown at full strength. parts: what the value is made of, each with its definition.

    is_linked: as fits_links says.
    """

    found: Attribution
    is_linked: bool
    tokens: Sequence[ContributionToken]
    scale: float
    shown: FeatureSummary | None
    all_href: str
    candidates: Sequence[Candidate]
    contributors: Sequence[Contributor]
    parts: Sequence[tuple[str, str, float]]
    logit_href: str


@dataclass(frozen=True)
class AttributionPage:
    dictionary: Dictionary
    unavailable: str | None
    asked: Asked
    most: int
    problem: str | None
    result: AttributionResult | None
    examples: Sequence[tuple[str, str]]


@router.get("/dictionaries/{dictionary_id}/attribute")
def show_attribution(
    dictionary_id: str,
    session: ReadSession,
    models: Models,
    settings: ServerSettings,
    patience: RequestPatience,
    text: str = "",
    token: Annotated[NumberOrBlank, Query()] = None,
    target: int | None = None,
    versus: int | None = None,
    target_word: Annotated[str, Query(max_length=100)] = "",
    versus_word: Annotated[str, Query(max_length=100)] = "",
    feature: Annotated[int | None, Query(ge=0)] = None,
    n: Annotated[NumberOrBlank, Query()] = None,
) -> HTMLResponse:
    dictionary = get_dictionary(session, dictionary_id)
    unavailable = models.unavailable(dictionary)
    text = text.replace("\r\n", "\n")  # forms send line ends so
    asked = Asked(
        dictionary, text, token, target, versus, target_word, versus_word, feature, SWITCHED_OFF if n is None else n
    )
    result = problem = None
    if text.strip() and unavailable is None:
        session.close()  # no connection is held while the model works
        try:
            loading = models.loading(dictionary, [text], patience)
            if loading is not None:
                return render_loading(dictionary, loading)
            found = models.attribute(dictionary, asked.to_request(), patience)
            summaries = get_summaries(session, dictionary, [one.index for one in found.features])
            result = attribution_result(asked, found, summaries)
        except Invalid as refused:
            problem = str(refused)
    examples = [(example, Asked(dictionary, example).href) for example in EXAMPLES]
    page = AttributionPage(dictionary, unavailable, asked, settings.max_text, problem, result, examples)
    return render("attribution.html", page, 200 if problem is None else 422)


def attribution_result(asked: Asked, found: Attribution, summaries: dict[int, FeatureSummary]) -> AttributionResult:
    """What is shown; the text shaded by one of the features where the address names one of them."""
    if not {one.index for one in found.features} <= set(summaries):
        raise Conflict(f"{asked.dictionary.id} was replaced while this text ran; load the page again.")
    chosen = next((one for one in found.features if one.index == asked.feature), None)
    by_token = chosen.by_token if chosen else found.by_token
    first = found.position - len(found.tokens) + 1
    plain = replace(asked, target_word="", versus_word="", target=found.target.token_id)
    against = found.versus.token_id if found.versus else None
    parts = [
        ("Features", "contribution", found.from_features),
        ("The SAE's error", "error-bias-bos", found.from_error),
        ("Its bias", "error-bias-bos", found.from_bias),
        ("BOS", "error-bias-bos", found.from_bos),
        ("Other paths, and what is not linear", "other-paths", found.rest),
    ]
    return AttributionResult(
        found=found,
        is_linked=fits_links(asked.href, len(found.tokens)),
        tokens=[
            ContributionToken(
                text, value, Asked(asked.dictionary, asked.text, token=first + place).href, place == len(by_token) - 1
            )
            for place, (text, value) in enumerate(zip(found.tokens, by_token, strict=True))
        ],
        scale=max((abs(value) for value in by_token), default=0.0),
        shown=summaries[chosen.index] if chosen else None,
        all_href=replace(asked, feature=None).href,
        candidates=[
            Candidate(
                token,
                replace(plain, target=token.token_id, versus=None, feature=None).href,
                replace(plain, versus=token.token_id, feature=None).href,
                token.token_id == found.target.token_id,
                token.token_id == against,
            )
            for token in found.next_tokens
        ],
        contributors=[
            Contributor(
                summaries[one.index],
                one,
                replace(plain, versus=against, feature=one.index).href,
                chosen is not None and one.index == chosen.index,
            )
            for one in found.features
        ],
        parts=parts,
        logit_href=replace(plain, versus=None).href,
    )
