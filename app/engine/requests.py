"""What may be asked of the live side: everything is checked here, before a model is touched. Raises Invalid."""

from collections.abc import Sequence

from app.domain import Dictionary
from app.errors import Invalid
from app.live import FeatureStrength, RawStrength, SteeringRequest
from app.scales import Scales
from app.settings import Settings

MOST_STRENGTH = 1000  # times a feature's maximum
MOST_TEMPERATURE = 10
NAMED = 40  # characters of a text that cannot be run, so that it is known among others


def check_text(text: str, most: int) -> None:
    """Raises Invalid for a live text that cannot be run."""
    if not text.strip():
        raise Invalid("The text is empty; type a sentence.")
    if len(text) > most:
        raise Invalid(f"The text has {len(text):,} characters; at most {most:,} are run at once (setting max_text).")
    check_characters(text)


def check_characters(text: str) -> None:
    """Raises Invalid for what no corpus holds either: a page could not show it, and no tokenizer takes half a pair."""
    if "\0" in text:
        raise Invalid(f"The text {text[:NAMED]!r} holds the character NUL (U+0000); leave it out.")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise Invalid(
            f"The text {text[:NAMED]!r} holds half of a surrogate pair, which is no character; send valid Unicode."
        )


def check_features(dictionary: Dictionary, features: Sequence[int]) -> None:
    """Raises Invalid for a feature that the dictionary does not have."""
    for feature in features:
        if not 0 <= feature < dictionary.n_features:
            raise Invalid(f"{dictionary.id} has features 0 to {dictionary.n_features - 1}, not {feature}.")


def check_steering(
    dictionary: Dictionary, scales: Scales, asked: SteeringRequest, settings: Settings
) -> list[RawStrength]:
    """What is asked in the features' own units. Raises Invalid, naming the limit that was passed."""
    check_text(asked.prompt, settings.max_text)
    pushed = [feature.index for feature in asked.features]
    check_features(dictionary, pushed)
    if not 1 <= len(pushed) <= settings.max_steered:
        raise Invalid(f"There are {len(pushed)} features to steer; give 1 to {settings.max_steered} (max_steered).")
    for twice in {index for index in pushed if pushed.count(index) > 1}:
        raise Invalid(f"Feature {twice} is given twice; give each once, with its whole strength.")
    for feature in asked.features:
        if not abs(feature.strength) <= MOST_STRENGTH:
            raise Invalid(
                f"The strength {feature.strength:g} of feature {feature.index} is beyond -{MOST_STRENGTH} to "
                f"{MOST_STRENGTH}; 1 is the most the feature reached in the index."
            )
        if scales.n_active[feature.index] == 0:
            raise Invalid(f"Feature {feature.index} never fired in the index, so its strength has no unit to go by.")
    if not 1 <= asked.max_new_tokens <= settings.max_new_tokens:
        raise Invalid(
            f"{asked.max_new_tokens} new tokens are asked for; 1 to {settings.max_new_tokens} can be (max_new_tokens)."
        )
    if not 0 <= asked.temperature <= MOST_TEMPERATURE:
        raise Invalid(f"The temperature {asked.temperature:g} cannot be; it takes 0 to {MOST_TEMPERATURE}.")
    if not 1 <= asked.n_samples <= settings.max_samples:
        raise Invalid(f"{asked.n_samples} samples are asked for; 1 to {settings.max_samples} can be (max_samples).")
    if asked.temperature == 0 and asked.n_samples > 1:
        raise Invalid("At temperature 0 every sample is the same: ask for one, or for a temperature above 0.")
    return [raw_strength(scales, feature) for feature in asked.features]


def raw_strength(scales: Scales, feature: FeatureStrength) -> RawStrength:
    top = float(scales.maxima[feature.index])
    return RawStrength(feature.index, feature.strength, feature.mode, feature.strength * top, top)


def control_strengths(scales: Scales, asked: SteeringRequest, strengths: Sequence[RawStrength]) -> list[RawStrength]:
    """Other live features at the same strengths, drawn by the seed."""
    import numpy as np

    live = np.setdiff1d(np.flatnonzero(scales.n_active), [pushed.index for pushed in strengths])
    if len(live) < len(strengths):
        raise Invalid("There are too few other live features for a control; ask for none.")
    drawn = np.random.default_rng(asked.seed).choice(live, len(strengths), replace=False)
    return [
        raw_strength(scales, FeatureStrength(int(other), pushed.strength, pushed.mode))
        for other, pushed in zip(drawn, asked.features, strict=True)
    ]
