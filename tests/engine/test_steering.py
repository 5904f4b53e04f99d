"""Steering is exact: nothing asked changes nothing, and what is added is the decoder row times the strength."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from app.engine.generation import read_prompt
from app.engine.hook_points import parse_hook_point
from app.engine.loaded_models import Loaded
from app.engine.model_files import load_language_model
from app.engine.sae import load_sae
from app.engine.steering import Intervention, steer
from app.engine.steering_effect import measure_effect
from app.errors import Invalid
from app.live import FeatureStrength, Mode, RawStrength, Side, SteeredToken, SteeringRequest, SteeringSummary, Where
from tests.tiny import HOOK, Tiny

PROMPT = "The match and the serve"


@pytest.fixture(scope="module")
def loaded(tiny: Tiny) -> Loaded:
    model = load_language_model(str(tiny.model))
    assert model.bos_id is not None
    return Loaded(model, load_sae(tiny.sae), parse_hook_point(HOOK), 32, (model.bos_id,), most_threads=1)


def pushed(index: int, raw: float, mode: Mode = Mode.ADD) -> RawStrength:
    return RawStrength(index, raw / 2, mode, raw, 2.0)


def run(step: Callable[[], Any]) -> Any:
    return step()


def steered(loaded: Loaded, strengths: Sequence[RawStrength], **changed: Any) -> SteeringSummary:
    features = [FeatureStrength(s.index, s.strength, s.mode) for s in strengths]
    asked = SteeringRequest(PROMPT, features, **({"max_new_tokens": 12, "temperature": 0.9, "seed": 3} | changed))
    *tokens, summary = list(steer(loaded, asked, strengths, changed.pop("control_strengths", []), run))
    assert isinstance(summary, SteeringSummary)
    assert all(isinstance(token, SteeredToken) for token in tokens)
    for text in summary.texts:
        streamed = [t for t in tokens if isinstance(t, SteeredToken) and (t.side, t.sample) == (text.side, text.sample)]
        assert "".join(token.text for token in streamed) == text.text
    return summary


def text_of(summary: SteeringSummary, side: Side) -> str:
    return next(text.text for text in summary.texts if text.side is side)


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_strength_0_gives_the_base_text_and_no_divergence_at_all(loaded: Loaded, temperature: float) -> None:
    summary = steered(loaded, [pushed(3, 0.0)], temperature=temperature)
    base, same = summary.texts
    assert (same.text, same.tokens) == (base.text, base.tokens)
    assert same.kl == [0.0] * len(same.tokens)
    assert summary.relative_norm == 0


def test_a_clamp_at_the_value_it_has_changes_nothing(loaded: Loaded) -> None:
    prompt = read_prompt(loaded, PROMPT, 4)
    ids = torch.tensor([prompt.token_ids])
    stream = loaded.model.capture(ids, torch.ones_like(ids), loaded.hook)
    last = loaded.sae.encode(stream[0].repeat(3, 1))[-1]  # of another batch, as a live text's value is
    feature = int(last.argmax())
    assert last[feature] > 0
    clamp = Intervention(loaded, [pushed(feature, float(last[feature]), Mode.CLAMP)], len(prompt.token_ids) - 1)
    assert measure_effect(loaded, prompt, [], clamp).steered.equal(measure_effect(loaded, prompt, [], clamp).base)


def test_adding_is_the_decoder_row_times_the_strength_at_the_hook(loaded: Loaded) -> None:
    prompt = read_prompt(loaded, PROMPT, 4)
    ids = torch.tensor([prompt.token_ids])
    row = loaded.sae.decoder[3]

    def by_hand(_module: Any, args: tuple[torch.Tensor, ...], kwargs: dict[str, Any]) -> Any:
        x = (args[0] if args else kwargs["hidden_states"]).clone()
        x[:, 1:] += 1.5 * row
        return ((x, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": x})

    handle = loaded.model.blocks[1].register_forward_pre_hook(by_hand, with_kwargs=True)
    expected = loaded.model.logits(ids, torch.ones_like(ids))[0, -1].log_softmax(0)
    handle.remove()
    found = measure_effect(loaded, prompt, [], Intervention(loaded, [pushed(3, 1.5)], 1))
    assert torch.allclose(found.steered, expected, atol=1e-6)
    assert not torch.allclose(found.base, expected, atol=1e-3)


def test_a_clamp_to_0_takes_the_feature_out_of_the_reconstruction(loaded: Loaded) -> None:
    prompt = read_prompt(loaded, PROMPT, 4)
    ids = torch.tensor([prompt.token_ids])
    stream = loaded.model.capture(ids, torch.ones_like(ids), loaded.hook)[0]
    acts = loaded.sae.encode(stream)
    feature = int(acts[1:].sum(0).argmax())
    without = stream - acts[:, feature : feature + 1] * loaded.sae.decoder[feature]
    without[0] = stream[0]
    expected = loaded.model.logits(ids, torch.ones_like(ids), loaded.hook, lambda _x: without[None])[0, -1]
    found = measure_effect(loaded, prompt, [], Intervention(loaded, [pushed(feature, 0.0, Mode.CLAMP)], 1))
    assert torch.allclose(found.steered, expected.log_softmax(0), atol=1e-5)


def test_the_cache_changes_no_token(loaded: Loaded) -> None:
    """Each token is the likeliest after all before it, read anew with the same steering."""
    strengths = [pushed(3, 2.0), pushed(7, 1.0, Mode.CLAMP)]
    prompt = read_prompt(loaded, PROMPT, 12)
    tokens = [
        event.token_id
        for event in steer(loaded, SteeringRequest(PROMPT, [], temperature=0, max_new_tokens=12), strengths, [], run)
        if isinstance(event, SteeredToken) and event.side is Side.STEERED
    ]
    for n, token in enumerate(tokens):
        done = Intervention(loaded, strengths, 1)
        ids = torch.tensor([[*prompt.token_ids, *tokens[:n]]])
        with loaded.model.changed(ids.shape, done.changes(0)):
            assert int(loaded.model.logits(ids, torch.ones_like(ids))[0, -1].argmax()) == token


def test_generated_tokens_alone_leave_the_prompt_as_it_is(loaded: Loaded) -> None:
    prompt = read_prompt(loaded, PROMPT, 4)
    ids = torch.tensor([prompt.token_ids])
    last = len(prompt.token_ids) - 1
    with loaded.model.changed(ids.shape, Intervention(loaded, [pushed(3, 5.0)], last).changes(0)):
        found = loaded.model.logits(ids, torch.ones_like(ids))[0]
    base = loaded.model.logits(ids, torch.ones_like(ids))[0]
    assert found[:last].equal(base[:last])
    assert not found[last].equal(base[last])
    summary = steered(loaded, [pushed(3, 5.0)], where=Where.GENERATED)
    assert summary.texts[1].kl[0] > 0


def test_samples_differ_by_seed_and_come_back_by_seed(loaded: Loaded) -> None:
    summary = steered(loaded, [pushed(3, 1.0)], n_samples=2)
    again = steered(loaded, [pushed(3, 1.0)], seed=4)
    assert [text.seed for text in summary.texts] == [3, 3, 4, 4]
    assert summary.texts[0].text != summary.texts[2].text
    assert (again.texts[0].text, again.texts[1].text) == (summary.texts[2].text, summary.texts[3].text)


def test_controls_are_pushed_as_far_as_the_feature(loaded: Loaded) -> None:
    direction = torch.nn.functional.normalize(torch.ones(loaded.sae.decoder.shape[1]), dim=0)
    prompt = read_prompt(loaded, PROMPT, 4)
    own = measure_effect(loaded, prompt, [], Intervention(loaded, [pushed(3, 2.0)], 1))
    other = measure_effect(loaded, prompt, [], Intervention(loaded, [pushed(3, 2.0)], 1, direction))
    assert other.relative_norm == pytest.approx(own.relative_norm, rel=1e-5)
    assert not other.steered.equal(own.steered)
    events = steer(loaded, SteeringRequest(PROMPT, [], max_new_tokens=5), [pushed(3, 2.0)], [pushed(8, 2.0)], run)
    *_, summary = events
    assert isinstance(summary, SteeringSummary)
    assert [text.side for text in summary.texts] == [
        Side.BASE,
        Side.STEERED,
        Side.RANDOM_DIRECTION,
        Side.RANDOM_FEATURE,
    ]
    assert all(len(text.kl) == len(text.tokens) for text in summary.texts[1:])


def test_strengths_out_of_range_are_said(loaded: Loaded) -> None:
    notes = " ".join(steered(loaded, [pushed(3, 40.0), pushed(4, -1.0)]).notes)
    assert "20 times the most it reached" in notes
    assert "below 0" in notes
    assert "as long as the activations" in notes
    assert steered(loaded, [pushed(3, 0.5)]).notes == []


def test_numbers_that_overflow_end_in_a_sentence(loaded: Loaded) -> None:
    with pytest.raises(Invalid, match="choose a smaller"):
        steered(loaded, [pushed(3, float("inf"))])


def test_a_prompt_beyond_the_model_is_refused(loaded: Loaded) -> None:
    with pytest.raises(Invalid, match="at most 64"):
        read_prompt(loaded, "match " * 70, 10)
