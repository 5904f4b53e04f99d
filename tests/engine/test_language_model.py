"""Activations against what transformers itself returns, for each family of models."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM

from app.engine.hook_points import HookPoint, parse_hook_point
from app.engine.language_model import LanguageModel
from app.engine.model_files import load_language_model
from app.errors import Invalid
from tests.tiny import Tiny, corpus_texts, make_tokenizer


@pytest.fixture(scope="module", params=["llama", "gpt2", "gpt_neox"])
def folder(request: pytest.FixtureRequest, tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "llama":
        return tiny.model
    made = tmp_path_factory.mktemp(request.param)
    tokenizer = make_tokenizer(made, corpus_texts())
    torch.manual_seed(0)
    size: dict[str, Any] = {"vocab_size": len(tokenizer), "initializer_range": 0.3}
    if request.param == "gpt2":
        GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=3, n_head=4, n_positions=64, **size)).save_pretrained(made)
    else:
        config = GPTNeoXConfig(
            hidden_size=32,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=64,
            **size,
        )
        GPTNeoXForCausalLM(config).save_pretrained(made)
    return made


@pytest.fixture(scope="module")
def model(folder: Path) -> LanguageModel:
    return load_language_model(str(folder))


IDS = torch.tensor([[0, 30, 31, 32, 33, 34], [0, 40, 41, 42, 1, 1]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])


def test_the_stream_between_blocks_is_transformers_own(model: LanguageModel, folder: Path) -> None:
    plain = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        states = plain(IDS, attention_mask=MASK, output_hidden_states=True).hidden_states
    for layer in range(3):
        found = model.capture(IDS, MASK, HookPoint(layer, "resid_pre"))
        assert torch.allclose(found[MASK.bool()], states[layer][MASK.bool()], atol=1e-5)
    found = model.capture(IDS, MASK, HookPoint(1, "resid_post"))
    assert torch.allclose(found[MASK.bool()], states[2][MASK.bool()], atol=1e-5)


def test_attention_and_mlp_outputs_add_up_to_the_block(model: LanguageModel) -> None:
    sites = ("resid_pre", "attn_out", "mlp_out", "resid_post")
    before, attention, mlp, after = (model.capture(IDS, MASK, HookPoint(1, site)) for site in sites)
    assert torch.allclose((before + attention + mlp)[MASK.bool()], after[MASK.bool()], atol=1e-4)


def test_a_sentence_alone_and_in_a_padded_batch_give_the_same(model: LanguageModel) -> None:
    hook = HookPoint(2, "resid_post")
    together = model.capture(IDS, MASK, hook)[1, :4]
    alone = model.capture(IDS[1:, :4], MASK[1:, :4], hook)[0]
    assert torch.allclose(together, alone, atol=1e-5)


def test_replacing_activations_by_themselves_changes_nothing(model: LanguageModel) -> None:
    plain = model.logits(IDS, MASK)
    same = model.logits(IDS, MASK, HookPoint(1, "attn_out"), lambda x: x.clone())
    other = model.logits(IDS, MASK, HookPoint(1, "attn_out"), torch.zeros_like)
    assert torch.equal(plain, same)
    assert not torch.allclose(plain, other)


@pytest.mark.parametrize("name", ["blocks.3.hook_resid_pre", "blocks.99.hook_attn_out"])
def test_a_layer_that_is_not_there_is_named(model: LanguageModel, name: str) -> None:
    with pytest.raises(Invalid, match="layers 0 to 2"):
        model.check_hook(parse_hook_point(name))


@pytest.mark.parametrize("name", ["", "blocks.1.hook_z", "blocks.-1.hook_resid_pre", "layer 3", "blocks.1.resid_pre"])
def test_an_unknown_hook_point_says_which_are_known(name: str) -> None:
    with pytest.raises(Invalid, match=r"blocks\.N\.hook_resid_pre"):
        parse_hook_point(name)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"no config\.json"):
        load_language_model(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(Invalid, match="t5"):
        load_language_model(str(tmp_path))


def test_a_model_with_damaged_weights_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    for file in tiny.model.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    whole = (tiny.model / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Invalid, match="cannot be"):
        load_language_model(str(tmp_path))
