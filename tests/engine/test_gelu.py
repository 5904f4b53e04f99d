"""GPT-2's GELU in one pass, against transformers' own."""

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel
from transformers.activations import ACT2FN, NewGELUActivation

from app.engine.gelu import OnePassGelu, use_one_pass_gelu
from app.engine.model_files import load_language_model
from tests.tiny import corpus_texts, make_tokenizer


@pytest.mark.parametrize("name", ["gelu_new", "gelu_fast"])
def test_it_is_the_formula_that_transformers_computes_step_by_step(name: str) -> None:
    x = torch.cat([torch.linspace(-12, 12, 10_001), torch.tensor([-1e30, 0.0, 1e4])])
    own = nn.Sequential(ACT2FN[name])
    expected = own(x)
    use_one_pass_gelu(own)
    assert isinstance(own[0], OnePassGelu)
    torch.testing.assert_close(own(x), expected, atol=1e-6, rtol=1e-6)


def test_a_loaded_gpt2_computes_it_in_one_pass_and_predicts_the_same(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(tmp_path, corpus_texts())
    torch.manual_seed(0)
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
    GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), initializer_range=0.3, **sizes)).save_pretrained(tmp_path)
    loaded = load_language_model(str(tmp_path)).model
    assert not any(isinstance(module, NewGELUActivation) for module in loaded.modules())
    ids = torch.arange(30, 60)[None]
    with torch.no_grad():
        expected = AutoModelForCausalLM.from_pretrained(tmp_path)(ids).logits
        torch.testing.assert_close(loaded(ids).logits, expected, atol=1e-4, rtol=1e-4)
