"""Steering: a text written on while features are pushed, beside the same text without, streamed or as one page."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, TypeAlias
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.sse import format_sse_event
from starlette.responses import HTMLResponse, StreamingResponse

from app.access.routes import live_call, live_page, needs
from app.domain import Dictionary, FeatureSummary
from app.engine.event_stream import EventStream
from app.engine.requests import check_steering
from app.errors import Invalid, Unavailable
from app.live import (
    Failed,
    FeatureStrength,
    Mode,
    Side,
    SteeredText,
    SteeredToken,
    SteeringEvent,
    SteeringRequest,
    SteeringSummary,
    Where,
)
from app.pages.loading import render_loading
from app.pages.web import (
    KnownActivationScales,
    Models,
    ReadSession,
    RequestPatience,
    ServerSettings,
    fragment,
    render,
)
from app.roles import Role
from app.serving import SSE_HEADERS
from app.settings import Settings
from app.store.dictionaries import get_dictionary
from app.store.features import get_summaries

router = APIRouter(dependencies=[needs(Role.READ)])
EMPTY_ROWS = 1  # rows of the form for further features
HEAT_FULL = 2.0  # nats of KL that are shown at full strength, where no token has more
PROMPTS = ("The best thing about the weekend was", "She opened the door and", "First, take a large pan and")
SIDES = {
    Side.BASE: "As it is",
    Side.STEERED: "Steered",
    Side.RANDOM_DIRECTION: "Control: a random direction",
    Side.RANDOM_FEATURE: "Control: another feature",
}


class Run(StrEnum):
    """Whether the page's text is written, and how it arrives."""

    NO = ""
    WHOLE = "whole"
    STREAM = "stream"


@dataclass(frozen=True)
class FormRow:
    """One feature as the form has it, as typed."""

    feature: str
    strength: str
    mode: str


@dataclass(frozen=True)
class SteeringForm:
    """The page's address, as typed: what is wrong with it is said when it is run."""

    prompt: str
    rows: Sequence[FormRow]
    where: Where
    max_new_tokens: int
    temperature: float
    seed: int
    n_samples: int
    controls: bool

    def to_request(self) -> SteeringRequest:
        """Raises Invalid for a row that holds no numbers."""
        return SteeringRequest(
            self.prompt,
            [_parsed(row) for row in self.rows if row.feature.strip()],
            self.where,
            self.max_new_tokens,
            self.temperature,
            self.seed,
            self.n_samples,
            self.controls,
        )

    def href(self, path: str, run: Run) -> str:
        """An address with all of this."""
        pairs: list[tuple[str, object]] = [("prompt", self.prompt)]
        for row in self.rows:
            pairs += [("feature", row.feature), ("strength", row.strength), ("mode", row.mode)]
        pairs += [("where", self.where), ("max_new_tokens", self.max_new_tokens), ("temperature", self.temperature)]
        pairs += [("seed", self.seed), ("n_samples", self.n_samples)]
        pairs += [("controls", "on")] if self.controls else []
        pairs += [("run", run)] if run is not Run.NO else []
        return f"{path}?{urlencode(pairs)}"


@dataclass(frozen=True)
class WrittenToken:
    text: str
    kl: float | None


@dataclass(frozen=True)
class Written:
    """One text. mean_kl: None for the base text, and where nothing was written."""

    side: Side
    name: str
    sample: int
    seed: int
    tokens: Sequence[WrittenToken]
    mean_kl: float | None
    most_kl: float | None


@dataclass(frozen=True)
class SteeringResult:
    """pairs: two texts beside one another, sample after sample, then the controls. scale: KL at full strength."""

    prompt: str
    pairs: Sequence[Sequence[Written]]
    scale: float
    summary: SteeringSummary


@dataclass(frozen=True)
class SteeringPage:
    dictionary: Dictionary
    unavailable: str | None
    form: SteeringForm
    settings: Settings
    problem: str | None
    names: dict[int, FeatureSummary]
    result: SteeringResult | None
    streamed: Sequence[Sequence[tuple[Side, str, int]]]
    events_href: str
    whole_href: str
    stop_href: str
    prompts: Sequence[str]


def steering_form(
    prompt: str = "",
    feature: Annotated[tuple[str, ...], Query()] = (),
    strength: Annotated[tuple[str, ...], Query()] = (),
    mode: Annotated[tuple[str, ...], Query()] = (),
    where: Where = Where.ALL,
    max_new_tokens: int = 40,
    temperature: float = 0.8,
    seed: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    n_samples: int = 1,
    controls: bool = False,
) -> SteeringForm:
    strengths = [*strength, *["2"] * len(feature)]
    modes = [*mode, *[Mode.ADD] * len(feature)]
    rows = [FormRow(*row) for row in zip(feature, strengths, modes, strict=False)]
    return SteeringForm(
        prompt.replace("\r\n", "\n"),
        [row for row in rows if row.feature.strip()],
        where,
        max_new_tokens,
        temperature,
        seed,
        n_samples,
        controls,
    )


Form: TypeAlias = Annotated[SteeringForm, Depends(steering_form)]


@router.get("/dictionaries/{dictionary_id}/steer", dependencies=[live_page("run")])
def show_steering(
    dictionary_id: str,
    session: ReadSession,
    models: Models,
    known: KnownActivationScales,
    settings: ServerSettings,
    patience: RequestPatience,
    form: Form,
    run: Run = Run.NO,
) -> HTMLResponse:
    dictionary = get_dictionary(session, dictionary_id)
    unavailable = models.unavailable(dictionary)
    asked = summary = problem = None
    if run is not Run.NO and unavailable is None:
        try:
            asked = form.to_request()
            scales = known.of(session, dictionary)
            check_steering(dictionary, scales, asked, settings)
            session.close()  # no connection is held while the model works
            loading = models.loading(dictionary, [asked.prompt], patience)
            if loading is not None:
                return render_loading(dictionary, loading)
            if run is Run.WHOLE:
                summary = the_summary(models.steer(dictionary, scales, asked, patience))
        except Invalid as refused:
            problem = str(refused)
    pushed = [*summary.strengths, *summary.control_strengths] if summary else []
    here = f"/dictionaries/{dictionary.id}/steer"
    page = SteeringPage(
        dictionary,
        unavailable,
        form,
        settings,
        problem,
        get_summaries(session, dictionary, [one.index for one in pushed]),
        steering_result(asked.prompt, summary) if asked and summary else None,
        streamed_sides(asked) if asked and problem is None and run is Run.STREAM else [],
        form.href(f"{here}/events", Run.NO),
        form.href(here, Run.WHOLE),
        form.href(here, Run.NO),
        PROMPTS,
    )
    return render("steering.html", page, 200 if problem is None else 422)


@router.get("/dictionaries/{dictionary_id}/steer/events", dependencies=[live_call])
def stream_steering(
    dictionary_id: str,
    session: ReadSession,
    models: Models,
    known: KnownActivationScales,
    patience: RequestPatience,
    form: Form,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """What the page shows as it comes. A browser that was cut off and asks again is told to stop."""
    if last_event_id is not None:
        return Response(status_code=204)
    dictionary = get_dictionary(session, dictionary_id)
    asked = form.to_request()
    scales = known.of(session, dictionary)
    named = [feature.index for feature in asked.features]
    names = get_summaries(session, dictionary, [index for index in named if 0 <= index < dictionary.n_features])
    session.close()
    events = models.steer(dictionary, scales, asked, patience)
    return StreamingResponse(
        as_html(dictionary, asked.prompt, names, events), media_type="text/event-stream", headers=SSE_HEADERS
    )


@dataclass(frozen=True)
class TokenFragment:
    text: str


@dataclass(frozen=True)
class OutcomeFragment:
    dictionary: Dictionary
    names: dict[int, FeatureSummary]
    result: SteeringResult


@dataclass(frozen=True)
class ProblemFragment:
    message: str


async def as_html(
    dictionary: Dictionary, prompt: str, names: dict[int, FeatureSummary], events: EventStream[SteeringEvent]
) -> AsyncIterator[bytes]:
    """Events named after the places of the page that they go into."""
    async for event in events:
        match event:
            case SteeredToken():
                name, html = f"{event.side}-{event.sample}", fragment("steering_token.html", TokenFragment(event.text))
            case SteeringSummary():
                outcome = OutcomeFragment(dictionary, names, steering_result(prompt, event))
                name, html = "outcome", fragment("steering_outcome.html", outcome)
            case Failed(message):
                name, html = "problem", fragment("steering_problem.html", ProblemFragment(message))
        yield format_sse_event(event=name, data_str=html, id="1")
    yield format_sse_event(event="end", data_str="")


def the_summary(events: EventStream[SteeringEvent]) -> SteeringSummary:
    """The stream's end, waited for. Raises what ended it before."""
    for event in events:
        if isinstance(event, SteeringSummary):
            return event
        if isinstance(event, Failed):
            raise Invalid(event.message) if event.is_invalid else Unavailable(event.message)
    raise Unavailable("The text was not finished.")


def steering_result(prompt: str, summary: SteeringSummary) -> SteeringResult:
    texts = [_written(text) for text in summary.texts]
    most = max((text.most_kl for text in texts if text.most_kl is not None), default=0.0)
    pairs = [texts[first : first + 2] for first in range(0, len(texts), 2)]
    return SteeringResult(prompt, pairs, max(HEAT_FULL, most), summary)


def streamed_sides(asked: SteeringRequest) -> list[list[tuple[Side, str, int]]]:
    """The places that tokens stream into: side, its name, sample; two beside one another."""
    pairs = [[(side, SIDES[side], n) for side in (Side.BASE, Side.STEERED)] for n in range(asked.n_samples)]
    controls = [(side, SIDES[side], 0) for side in (Side.RANDOM_DIRECTION, Side.RANDOM_FEATURE)]
    return [*pairs, controls] if asked.controls else pairs


def _written(text: SteeredText) -> Written:
    kl: Sequence[float | None] = text.kl or [None] * len(text.tokens)
    return Written(
        text.side,
        SIDES[text.side],
        text.sample,
        text.seed,
        [WrittenToken(token, value) for token, value in zip(text.tokens, kl, strict=True)],
        sum(text.kl) / len(text.kl) if text.kl else None,
        max(text.kl) if text.kl else None,
    )


def _parsed(row: FormRow) -> FeatureStrength:
    try:
        index = int(row.feature)
    except ValueError:
        raise Invalid(f"The feature {row.feature!r} is no number; give its index.") from None
    try:
        strength = float(row.strength)
    except ValueError:
        raise Invalid(f"The strength {row.strength!r} of feature {index} is no number.") from None
    if row.mode not in tuple(Mode):
        raise Invalid(f"{row.mode!r} is no way to steer; it takes add or clamp.")
    return FeatureStrength(index, strength, Mode(row.mode))
