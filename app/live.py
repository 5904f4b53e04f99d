"""The words of the live side as frozen data: what is asked of a running model, and what comes back."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


@dataclass(frozen=True)
class ModelUse:
    """What the processes that run models hold, and what they have run since they began.

    n_bytes: of the weights that are loaded; n_windows: of texts; n_batches: forwards that these took together
    """

    n_bytes: int = 0
    n_windows: int = 0
    n_batches: int = 0


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
    """A text run through model and SAE now.

    ranked: the first features over the whole text, by the ranking asked; of_first: the activation of the first of them
    at every token, where that was asked for, a feature fires, and not too much does
    """

    text: str
    tokens: Sequence[LiveToken]
    ranked: Sequence[LiveFeature]
    of_first: Sequence[float] = ()


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

    kl: KL(steered || base) in nats of the model's two distributions of the token, with steering and without after the
    same tokens, whatever the temperature at which it was drawn. Empty for the base text.
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


@dataclass(frozen=True)
class AttributionRequest:
    """Which features made the model expect `target` after the text's token `position`, rather than `versus`.

    position: None for the last token. target, versus: a token id, or the token's text; target None for the likeliest,
    versus None for the logit alone. n: features to ablate, those that contribute most either way.
    """

    text: str
    position: int | None = None
    target: int | str | None = None
    versus: int | str | None = None
    n: int = 10


@dataclass(frozen=True)
class FeatureContribution:
    """contribution: activation times gradient, summed over tokens; by_token: the same at each.

    ablation_effect: the value less what it is with the feature at 0 on every token: what the feature truly gives.
    """

    index: int
    contribution: float
    by_token: Sequence[float]
    ablation_effect: float


@dataclass(frozen=True)
class Attribution:
    """value: the logit of `target` (less that of `versus`), with everything as it is.

    tokens: of the text's window up to `position`, which is counted in the text. next_tokens: what the model expects.
    from_features + from_error + from_bias + from_bos + rest == value, where rest is what reaches the value by other
    paths than the hook, and what is not linear. by_token: of all features. correlation: of contributions with ablation
    effects over `features`; None where there is none to be had.
    """

    tokens: Sequence[str]
    position: int
    next_tokens: Sequence[NextToken]
    target: NextToken
    versus: NextToken | None
    value: float
    from_features: float
    from_error: float
    from_bias: float
    from_bos: float
    rest: float
    by_token: Sequence[float]
    features: Sequence[FeatureContribution]
    correlation: float | None


@dataclass(frozen=True)
class SeparatingFeature:
    """auc: the share of pairs of a text with and a text without in which the former has the larger peak, ties half.

    mean_with, mean_without: of the peaks; n_with, n_without: texts in which it fires.
    """

    index: int
    auc: float
    mean_with: float
    mean_without: float
    n_with: int
    n_without: int


@dataclass(frozen=True)
class Separation:
    """The features that tell two lists of texts apart, the best first.

    n_compared: features that fire in any of the texts. by_chance: how many of them would separate the lists perfectly
    if their peaks had nothing to do with the lists: n_compared / (n_with + n_without choose n_with).
    """

    n_with: int
    n_without: int
    n_compared: int
    by_chance: float
    features: Sequence[SeparatingFeature]
