"""The words of the live side as frozen data: what is asked of a running model, and what comes back."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class Ranking(StrEnum):
    """By what the features of a live text are put in order."""

    MAX = "max"  # the largest activation in the text
    SUM = "sum"  # the sum over the text's tokens
    RARITY = "rarity"  # how few tokens of the corpus have the feature at least as strong


@dataclass(frozen=True)
class FeatureActivation:
    """A feature's activation at one token (position: index into the text's tokens).

    percentile: per cent of the feature's active tokens in the index with at most this; None where it never fired.
    """

    index: int
    position: int
    activation: float
    percentile: float | None


@dataclass(frozen=True)
class LiveFeature:
    """A feature over a whole live text: its peak there, and what the rankings go by.

    total: sum over the text's tokens, n_tokens of which are active.
    n_as_strong: about how many tokens of the corpus have it at least as strong as this peak; below 1: none, or one.
    """

    peak: FeatureActivation
    total: float
    n_tokens: int
    n_as_strong: float


@dataclass(frozen=True)
class LiveToken:
    """One token of a live text: its strongest features, strongest first, and those followed, in the order asked."""

    position: int
    text: str
    start: int
    end: int
    features: Sequence[FeatureActivation]
    followed: Sequence[FeatureActivation]


@dataclass(frozen=True)
class LiveText:
    """A text run through model and SAE now. ranked: the first features over the whole text, by the ranking asked."""

    text: str
    tokens: Sequence[LiveToken]
    ranked: Sequence[LiveFeature]


@dataclass(frozen=True)
class NextToken:
    """A token that the model expects next, with its probability."""

    token: str
    token_id: int
    probability: float


class Mode(StrEnum):
    """What steering does to a feature."""

    ADD = "add"  # its decoder row times the strength is added
    CLAMP = "clamp"  # its activation is set to the strength, whatever it was


class Where(StrEnum):
    """At which tokens a text is steered; never at BOS."""

    ALL = "all"  # the prompt's and those generated
    GENERATED = "generated"  # from the prompt's last token on: all that choose a generated token


class Side(StrEnum):
    """Whose text a token belongs to."""

    BASE = "base"
    STEERED = "steered"
    RANDOM_DIRECTION = "random_direction"  # a control: as much, in a random direction
    RANDOM_FEATURE = "random_feature"  # a control: the same strength of another live feature


@dataclass(frozen=True)
class FeatureStrength:
    """strength: in units of the feature's largest activation in the index."""

    index: int
    strength: float
    mode: Mode


@dataclass(frozen=True)
class SteeringRequest:
    """seed: of the first sample; the others follow. temperature 0: the likeliest token each time."""

    prompt: str
    features: Sequence[FeatureStrength]
    where: Where = Where.ALL
    max_new_tokens: int = 40
    temperature: float = 0.8
    seed: int = 0
    n_samples: int = 1
    controls: bool = False


@dataclass(frozen=True)
class RawStrength:
    """raw: the strength times max_activation: an activation of the feature."""

    index: int
    strength: float
    mode: Mode
    raw: float
    max_activation: float


@dataclass(frozen=True)
class SteeredToken:
    """One generated token. text: "" for a piece of a character, which the last piece then holds whole."""

    sample: int
    side: Side
    text: str
    token_id: int


@dataclass(frozen=True)
class SteeredText:
    """text: what was generated. tokens and kl: one per generated token.

    kl: KL(steered || base) in nats of the two distributions that the token was drawn from, or would have been without
    steering after the same tokens. Empty for the base text.
    """

    side: Side
    sample: int
    seed: int
    text: str
    tokens: Sequence[str]
    kl: Sequence[float]


@dataclass(frozen=True)
class ChangedToken:
    """A next token after the prompt, with its probability without and with steering."""

    token: str
    token_id: int
    base: float
    steered: float


@dataclass(frozen=True)
class SteeringSummary:
    """texts: base and steered of every sample, then the controls. raised, lowered: the next tokens most changed.

    relative_norm: what steering adds over the length of the activations there, the mean over steered tokens.
    notes: what a reader must know of these strengths. tokens_per_second: over all texts.
    """

    strengths: Sequence[RawStrength]
    control_strengths: Sequence[RawStrength]
    texts: Sequence[SteeredText]
    raised: Sequence[ChangedToken]
    lowered: Sequence[ChangedToken]
    relative_norm: float
    notes: Sequence[str]
    tokens_per_second: float


@dataclass(frozen=True)
class Failed:
    """The end of a stream that could not go on. message: what went wrong and what to do.

    is_invalid: because of what was asked; else because of the server's state.
    """

    message: str
    is_invalid: bool


SteeringEvent: TypeAlias = SteeredToken | SteeringSummary | Failed
