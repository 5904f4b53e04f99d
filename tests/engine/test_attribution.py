"""Attribution: exact where the read-out is linear, and beside what ablation by hand gives."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from app.engine.attribution import attribute, correlation, find_place, gradients, token_id
from app.engine.hook_points import parse_hook_point
from app.engine.loaded_models import Loaded
from app.engine.model_files import load_language_model
from app.engine.sae import load_sae
from app.errors import Invalid
from app.live import AttributionRequest
from tests.tiny import HOOK, Tiny

TEXT = "The match and the serve"


def run(step: Callable[[], Any]) -> Any:
    return step()


def load(tiny: Tiny, hook: str) -> Loaded:
    model = load_language_model(str(tiny.model))
    assert model.bos_id is not None
    return Loaded(model, load_sae(tiny.sae), parse_hook_point(hook), 32, (model.bos_id,), most_threads=1)


@pytest.fixture(scope="module")
def loaded(tiny: Tiny) -> Loaded:
    return load(tiny, HOOK)


@pytest.fixture(scope="module")
def linear(tiny: Tiny) -> Loaded:
    """Read after the last block of a model without a final norm: its logits are linear in what is read."""
    made = load(tiny, "blocks.2.hook_resid_post")
    made.model.model.model.norm = torch.nn.Identity()
    return made


@pytest.mark.parametrize("versus", [None, 40])
def test_contributions_error_and_bias_make_up_a_linear_read_out_exactly(linear: Loaded, versus: int | None) -> None:
    found = attribute(linear, AttributionRequest(TEXT, target=30, versus=versus), run)
    assert found.from_features + found.from_error + found.from_bias == pytest.approx(found.value, abs=1e-4)
    assert found.rest == pytest.approx(0, abs=1e-4)
    assert found.from_bos == 0


def test_in_a_linear_read_out_ablation_gives_what_the_gradient_says(linear: Loaded) -> None:
    found = attribute(linear, AttributionRequest(TEXT, target=30, n=8), run)
    assert len(found.features) > 2
    for feature in found.features:
        assert feature.ablation_effect == pytest.approx(feature.contribution, abs=1e-4)
    assert found.correlation == pytest.approx(1, abs=1e-5)


def test_the_value_is_the_models_own_logit(loaded: Loaded) -> None:
    place = find_place(loaded, AttributionRequest(TEXT))
    logits = loaded.model.logits(place.ids, torch.ones_like(place.ids))[0, -1]
    found = attribute(loaded, AttributionRequest(TEXT, target=30, versus=31), run)
    assert found.value == pytest.approx(float(logits[30] - logits[31]), abs=1e-4)
    assert found.next_tokens[0].token_id == int(logits.argmax())
    parts = found.from_features + found.from_error + found.from_bias + found.from_bos + found.rest
    assert parts == pytest.approx(found.value, abs=1e-4)


def test_contributions_are_activation_times_the_slope_of_the_value(loaded: Loaded) -> None:
    """The slope measured by moving the feature's activation a little at one token."""
    place = find_place(loaded, AttributionRequest(TEXT))
    found = gradients(loaded, place, 30, None)
    token, feature = divmod(int(found.contributions.abs().argmax()), found.contributions.shape[1])
    step = 0.02

    def moved(by: float) -> float:
        def change(x: torch.Tensor) -> torch.Tensor:
            new = x.clone()
            new[0, token + 1] += by * loaded.sae.decoder[feature]
            return new

        with loaded.model.changed(place.ids.shape, [(loaded.hook, change)]):
            return float(loaded.model.logits(place.ids, torch.ones_like(place.ids))[0, -1, 30])

    slope = (moved(step) - moved(-step)) / (2 * step)
    expected = float(found.activations[token, feature]) * slope
    assert float(found.contributions[token, feature]) == pytest.approx(expected, rel=2e-2, abs=1e-4)


def test_ablation_is_the_value_with_the_feature_taken_out_by_hand(loaded: Loaded) -> None:
    found = attribute(loaded, AttributionRequest(TEXT, target=30, n=3), run)
    place = find_place(loaded, AttributionRequest(TEXT))
    mask = torch.ones_like(place.ids)
    stream = loaded.model.capture(place.ids, mask, loaded.hook)
    acts = loaded.sae.encode(stream[0])
    for feature in found.features:
        less = acts[:, feature.index, None] * loaded.sae.decoder[feature.index]
        less[0] = 0
        logits = loaded.model.logits(place.ids, mask, loaded.hook, lambda x, less=less: x - less)
        assert feature.ablation_effect == pytest.approx(found.value - float(logits[0, -1, 30]), abs=1e-4)
        assert sum(feature.by_token) == pytest.approx(feature.contribution, abs=1e-5)


def test_a_position_is_read_as_if_the_text_ended_there(loaded: Loaded) -> None:
    whole = attribute(loaded, AttributionRequest(TEXT, position=2, target=30, n=2), run)
    assert len(whole.tokens) == 3
    cut = attribute(loaded, AttributionRequest("".join(whole.tokens), target=30, n=2), run)
    assert whole.value == pytest.approx(cut.value, abs=1e-5)
    with pytest.raises(Invalid, match="no token 99"):
        attribute(loaded, AttributionRequest(TEXT, position=99), run)


def test_tokens_are_given_by_id_or_by_text(loaded: Loaded) -> None:
    (the,) = loaded.model.tokenizer(" the", add_special_tokens=False)["input_ids"]
    assert token_id(loaded, " the") == the
    assert token_id(loaded, "the") == the
    assert token_id(loaded, 7) == 7
    for wrong in (-1, 10**9, "several words of it", "", "\ud800"):
        with pytest.raises(Invalid):
            token_id(loaded, wrong)
    with pytest.raises(Invalid, match="the same"):
        attribute(loaded, AttributionRequest(TEXT, target=7, versus=7), run)


def test_a_correlation_needs_pairs_that_vary() -> None:
    assert correlation([1, 2, 3], [2, 4, 6.5]) == pytest.approx(0.9978, abs=1e-3)
    assert correlation([1, 2], [2, 4]) is None
    assert correlation([1, 1, 1], [2, 4, 5]) is None


def test_hooks_are_gone_after_an_error(loaded: Loaded) -> None:
    before = attribute(loaded, AttributionRequest(TEXT, target=30, n=1), run).value
    broken = replace(loaded, sae=replace(loaded.sae, decoder=loaded.sae.decoder[:, :5]))
    with pytest.raises(RuntimeError):
        attribute(broken, AttributionRequest(TEXT, target=30, n=1), run)
    assert attribute(loaded, AttributionRequest(TEXT, target=30, n=1), run).value == before
