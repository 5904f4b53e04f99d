"""Any text through model and SAE now: features per token and overall, some of them followed along the text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from starlette.responses import HTMLResponse

from app.access.routes import live_page, needs
from app.domain import Dictionary, FeatureSummary
from app.engine.patience import Patience
from app.engine.runtime import Runtime
from app.errors import Conflict, Invalid
from app.live import FeatureActivation, LiveFeature, LiveText, NextToken, Ranking
from app.pages.live_forms import Given, NumberOrBlank, fits_links
from app.pages.loading import render_loading
from app.pages.snippets import ShownToken
from app.pages.web import KnownActivationScales, Models, ReadSession, RequestPatience, ServerSettings, render
from app.roles import Role
from app.scales import Scales
from app.store.dictionaries import get_dictionary
from app.store.features import get_summaries

router = APIRouter(dependencies=[needs(Role.READ), live_page("text")])
A_TOKEN = 10  # features, and next tokens, shown for one token
MOST_FOLLOWED = 30  # rows of the table of followed features
MOST_FIRINGS = 2**17  # of a text that are kept: a dense dictionary's on a long text would be a gigabyte
EXAMPLES = (
    "The goalkeeper tipped the ball over the bar, and the crowd went silent.",
    "Add the onions to the pan and stir until they turn golden.",
    "“I never said that,” she whispered, closing the door behind her.",
    "def area(radius): return 3.14159 * radius ** 2",
)
RANKINGS = {Ranking.MAX: "Strongest", Ranking.SUM: "Largest sum", Ranking.RARITY: "Most unusual"}


@dataclass(frozen=True)
class Asked:
    """What the page's address says. feature: shades the text; token: chosen; follow: rows of the table."""

    dictionary: Dictionary
    text: str
    feature: int | None = None
    token: int | None = None
    follow: tuple[int, ...] = ()
    by: Ranking = Ranking.MAX

    @property
    def href(self) -> str:
        """What is the default is left out."""
        state = {"text": self.text, "feature": self.feature, "token": self.token, "follow": self.follow}
        state["by"] = None if self.by is Ranking.MAX else self.by
        kept = {name: value for name, value in state.items() if value is not None}
        return f"/dictionaries/{self.dictionary.id}/live?" + urlencode(kept, doseq=True)


@dataclass(frozen=True)
class Shading:
    """What the text is shown with: a feature's activation at every token. feature: None where none fires."""

    feature: int | None
    activations: Sequence[float]

    @property
    def peak(self) -> int:
        """The token where it is strongest."""
        return max(range(len(self.activations)), key=lambda position: self.activations[position])


@dataclass(frozen=True)
class Found:
    """A feature at its place in the text. at: the token there; one_in: tokens of the corpus for one as strong."""

    feature: FeatureSummary
    activation: float
    percentile: float | None
    at: str
    total: float | None
    one_in: float | None
    is_beyond: bool
    shade_href: str
    follow_href: str
    is_shown: bool
    is_followed: bool


@dataclass(frozen=True)
class TokenLink:
    token: ShownToken
    href: str
    is_chosen: bool


@dataclass(frozen=True)
class FollowedRow:
    """One feature along the text. scale: the activation shown at full strength."""

    feature: FeatureSummary
    activations: Sequence[float]
    scale: float
    unfollow_href: str


@dataclass(frozen=True)
class RankingTab:
    name: str
    href: str
    is_current: bool


@dataclass(frozen=True)
class LiveResult:
    """shaded: the feature whose activations the text is shown with; None where no feature fires.

    is_linked: as fits_links says.
    """

    is_linked: bool
    tokens: Sequence[TokenLink]
    shaded: FeatureSummary | None
    scale: float
    rows: Sequence[FollowedRow]
    tabs: Sequence[RankingTab]
    ranked: Sequence[Found]
    chosen: int
    chosen_text: str
    at_chosen: Sequence[Found]
    next_tokens: Sequence[NextToken]


@dataclass(frozen=True)
class LivePage:
    """problem: what is wrong with what was asked."""

    dictionary: Dictionary
    unavailable: str | None
    asked: Asked
    most: int
    orders: Mapping[Ranking, str]
    problem: str | None
    result: LiveResult | None
    examples: Sequence[tuple[str, str]]


@router.get("/dictionaries/{dictionary_id}/live")
def show_live(
    dictionary_id: str,
    session: ReadSession,
    models: Models,
    known: KnownActivationScales,
    settings: ServerSettings,
    patience: RequestPatience,
    text: str = "",
    feature: Annotated[NumberOrBlank, Query()] = None,
    token: Annotated[NumberOrBlank, Query()] = None,
    follow: Annotated[tuple[int, ...], Given, Query(max_length=MOST_FOLLOWED)] = (),
    by: Ranking = Ranking.MAX,
) -> HTMLResponse:
    dictionary = get_dictionary(session, dictionary_id)
    unavailable = models.unavailable(dictionary)
    # Forms send line ends as \r\n.
    asked = Asked(dictionary, text.replace("\r\n", "\n"), feature, token, tuple(dict.fromkeys(follow)), by)
    result = problem = None
    if asked.text.strip() and unavailable is None:
        scales = known.of(session, dictionary)
        session.close()  # no connection is held while the model works
        try:
            loading = models.loading(dictionary, [asked.text], patience)
            if loading is not None:
                return render_loading(dictionary, loading)
            found = run(models, scales, asked, patience)
            shading = shading_of(found, asked)
            chosen = chosen_token(shading, asked)
            following = models.next_tokens(dictionary, asked.text, chosen, A_TOKEN, patience)
            summaries = get_summaries(session, dictionary, sorted(indices_of(found, asked, shading)))
            result = live_result(asked, found, shading, chosen, following, summaries)
        except Invalid as refused:
            problem = str(refused)
    examples = [(example, Asked(dictionary, example).href) for example in EXAMPLES]
    page = LivePage(dictionary, unavailable, asked, settings.max_text, RANKINGS, problem, result, examples)
    return render("live.html", page, 200 if problem is None else 422)


def run(
    models: Runtime, scales: Scales, asked: Asked, patience: Patience, most_firings: int = MOST_FIRINGS
) -> LiveText:
    """The text's activations, at every token those of the features followed, and last of the one asked to shade it."""
    followed = asked.follow if asked.feature is None else (*asked.follow, asked.feature)
    (found,) = models.activations(
        asked.dictionary,
        scales,
        [asked.text],
        A_TOKEN,
        followed,
        asked.by,
        patience,
        most_firings if asked.feature is None else 0,
    )
    if asked.feature is not None or found.of_first or not found.ranked:
        return found
    # So much fires that it was not kept: the text runs once more, with its first feature followed.
    again = run(models, scales, replace(asked, feature=found.ranked[0].peak.index), patience)
    return replace(again, of_first=[token.followed[-1].activation for token in again.tokens])


def shading_of(found: LiveText, asked: Asked) -> Shading:
    """By the feature asked for, else by the first of the ranking."""
    if asked.feature is not None:
        return Shading(asked.feature, [token.followed[-1].activation for token in found.tokens])
    if found.ranked:
        return Shading(found.ranked[0].peak.index, found.of_first)
    return Shading(None, [0.0] * len(found.tokens))


def chosen_token(shading: Shading, asked: Asked) -> int:
    """The one asked for, else where the shading feature peaks."""
    if asked.token is not None and asked.token < len(shading.activations):
        return asked.token
    return shading.peak


def indices_of(found: LiveText, asked: Asked, shading: Shading) -> set[int]:
    """The features that the page names."""
    named = {feature.peak.index for feature in found.ranked} | set(asked.follow)
    named |= {activation.index for token in found.tokens for activation in token.features}
    return named | ({shading.feature} if shading.feature is not None else set())


def live_result(
    asked: Asked,
    found: LiveText,
    shading: Shading,
    chosen: int,
    following: Sequence[NextToken],
    summaries: Mapping[int, FeatureSummary],
) -> LiveResult:
    """What of the text is shown."""
    if not indices_of(found, asked, shading) <= set(summaries):
        raise Conflict(f"{asked.dictionary.id} was replaced while this text ran; load the page again.")
    shaded = summaries[shading.feature] if shading.feature is not None else None
    # Each link holds the text, and each look for the peak goes through it: neither for every token of a long one.
    is_linked, peak = fits_links(asked.href, len(found.tokens)), shading.peak
    return LiveResult(
        is_linked=is_linked,
        tokens=[
            TokenLink(
                ShownToken(live.text, shade, shade > 0 and position == peak),
                replace(asked, token=position).href if is_linked else "",
                position == chosen,
            )
            for position, (live, shade) in enumerate(zip(found.tokens, shading.activations, strict=True))
        ],
        shaded=shaded,
        scale=max(shaded.max_activation if shaded is not None else 0.0, *shading.activations),
        rows=followed_rows(asked, found, summaries),
        tabs=[RankingTab(name, replace(asked, by=by).href, by is asked.by) for by, name in RANKINGS.items()],
        ranked=[_found(asked, found, shading, summaries, feature.peak, feature) for feature in found.ranked],
        chosen=chosen,
        chosen_text=found.tokens[chosen].text,
        at_chosen=[_found(asked, found, shading, summaries, at, None) for at in found.tokens[chosen].features],
        next_tokens=following,
    )


def followed_rows(asked: Asked, found: LiveText, summaries: Mapping[int, FeatureSummary]) -> list[FollowedRow]:
    rows = []
    for place, index in enumerate(asked.follow):
        activations = [token.followed[place].activation for token in found.tokens]
        others = tuple(other for other in asked.follow if other != index)
        scale = max(summaries[index].max_activation, *activations)
        rows.append(FollowedRow(summaries[index], activations, scale, replace(asked, follow=others).href))
    return rows


def _found(
    asked: Asked,
    found: LiveText,
    shading: Shading,
    summaries: Mapping[int, FeatureSummary],
    at: FeatureActivation,
    over_text: LiveFeature | None,
) -> Found:
    n_tokens = asked.dictionary.n_tokens
    follows = at.index in asked.follow
    followed = asked.follow if follows else (*asked.follow, at.index)[-MOST_FOLLOWED:]
    return Found(
        feature=summaries[at.index],
        activation=at.activation,
        percentile=at.percentile,
        at=found.tokens[at.position].text,
        total=over_text.total if over_text else None,
        one_in=n_tokens / max(1.0, over_text.n_as_strong) if over_text else None,
        is_beyond=over_text is not None and at.activation > summaries[at.index].max_activation,
        shade_href=replace(asked, feature=at.index, token=None).href,
        follow_href=replace(asked, follow=followed).href,
        is_shown=at.index == shading.feature,
        is_followed=follows,
    )
