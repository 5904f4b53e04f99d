"""The mistakes that give silent nonsense, each made on purpose with the demo, and the right setting left alone."""

import copy
from dataclasses import replace
from itertools import islice

import pytest
import torch
from transformers import AutoConfig, LlamaForCausalLM

from app.engine.demo import model_path
from app.engine.hook_points import parse_hook_point
from app.engine.language_model import LanguageModel
from app.engine.load_check import Check, check_load, explain
from app.engine.model_files import load_language_model
from app.engine.published import open_sae
from app.engine.sae import Sae
from app.index.corpus import corpus_files, read_records

pytestmark = pytest.mark.slow
HOOK = "blocks.5.hook_attn_out"


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return load_language_model("demo")


@pytest.fixture(scope="module")
def sae() -> Sae:
    return open_sae("demo")


def texts_of(corpus: str, first: int = 0) -> list[str]:
    return [record.text for record in islice(read_records(corpus_files([corpus])), first, first + 256)]


TEXTS = texts_of("demo")


def checked(model: LanguageModel, sae: Sae, hook: str = HOOK, bos: bool = True, texts: list[str] = TEXTS) -> Check:
    return check_load(model, sae, parse_hook_point(hook), bos, texts, 128)


@pytest.mark.parametrize("first", [0, 2000, 5000])
def test_the_right_setting_is_left_alone(model: LanguageModel, sae: Sae, first: int) -> None:
    check = checked(model, sae, texts=texts_of("demo", first))
    assert (check.fits, list(check.problems), list(check.causes)) == (True, [], [])
    assert 0.7 < check.fit.explained_variance < 0.9


@pytest.mark.parametrize(
    "texts",
    [
        texts_of("seed"),
        ["def f(x):\n\treturn {k: v for k, v in x.items()}\n" * 4] * 9,
        ["one two"],
    ],
)
def test_the_right_setting_is_left_alone_on_other_texts(model: LanguageModel, sae: Sae, texts: list[str]) -> None:
    check = checked(model, sae, texts=texts)
    assert check.fits, (check.fit, check.problems, check.causes)


@pytest.fixture(scope="module")
def longer() -> LanguageModel:
    """The demo's model with its last block twice, so that there is a layer above the one its SAE reads."""
    model = load_language_model("demo")
    model.blocks.append(copy.deepcopy(model.blocks[5]))
    model.model.config.num_hidden_layers = 7
    return LanguageModel("longer", model.model, model.tokenizer, model.family)


@pytest.mark.parametrize("hook", ["blocks.4.hook_attn_out", "blocks.6.hook_attn_out"])
def test_a_layer_off_by_one_is_named(longer: LanguageModel, sae: Sae, hook: str) -> None:
    model = longer
    check = checked(model, sae, hook)
    assert check.causes[0].change == f"It reads {HOOK}"
    said = explain(check, sae.model_name, "demo")
    assert f"Give --hook {HOOK}." in said
    assert "--force" in said
    unsaid = checked(model, replace(sae, hook_point=None), hook)
    assert unsaid.causes[0].change == f"It reads {HOOK}"


def test_a_missing_bos_is_named(model: LanguageModel, sae: Sae) -> None:
    check = checked(model, sae, bos=False)
    assert check.causes[0].remedy == "Give --bos."
    assert "trained with BOS" in explain(check, "demo", "demo")


def test_a_missing_factor_of_the_input_is_named(model: LanguageModel, sae: Sae) -> None:
    """The SAE as it would be had it been trained on scaled activations, as its files would say, without the factor."""
    x = torch.cat([model.capture(*one_window(model, text), parse_hook_point(HOOK))[0, 1:] for text in TEXTS[:40]])
    right = sae.d_in**0.5 / float(x.norm(dim=1).mean())
    unscaled = replace(sae.with_input_scale(1 / right), normalisation="expected_average_only_in")
    check = checked(model, unscaled)
    assert "is to be scaled (expected_average_only_in)" in check.causes[0].change
    told = float(check.causes[0].remedy.split()[-1].rstrip("."))
    assert told == pytest.approx(right, rel=0.1)


def one_window(model: LanguageModel, text: str) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.tensor([[model.bos_id, *model.tokenizer(text)["input_ids"]][:128]])
    return ids, torch.ones_like(ids)


@pytest.fixture
def loud() -> LanguageModel:
    """The demo's model with ten times the attention output where its SAE reads: far from a norm of sqrt(d)."""
    model = load_language_model("demo")
    model.blocks[5].get_submodule("self_attn.o_proj").weight.mul_(10)
    return model


def test_a_missing_factor_that_the_files_do_not_mention_is_named(loud: LanguageModel, sae: Sae) -> None:
    check = checked(loud, sae)
    assert "is to be scaled" in check.causes[0].change


def test_a_normalisation_that_should_not_be_is_named(loud: LanguageModel, sae: Sae) -> None:
    raw = sae.with_input_scale(0.1)
    assert checked(loud, raw).fits
    check = checked(loud, replace(raw, normalisation="layer_norm"))
    assert check.causes[0].change == "Its input is not to be normalised"


def test_another_model_of_the_same_width_is_caught(sae: Sae, model: LanguageModel) -> None:
    torch.manual_seed(0)
    other = LlamaForCausalLM(AutoConfig.from_pretrained(model_path("demo"))).eval().requires_grad_(False)
    check = checked(LanguageModel("other", other, model.tokenizer, model.family), sae)
    assert not check.fits
    assert check.causes == []
    assert "another model" in explain(check, "demo", "other")


def test_a_stated_l0_that_is_far_off_is_said(model: LanguageModel, sae: Sae) -> None:
    assert checked(model, replace(sae, l0=30.0)).fits
    assert "the SAE states 400" in checked(model, replace(sae, l0=400.0)).problems[0]
