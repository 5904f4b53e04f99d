"""Products by oneDNN, which this machine may not gain by: here they are made whatever its processor."""

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
from transformers.pytorch_utils import Conv1D

from app.engine import products
from app.engine.model_files import load_language_model
from tests.tiny import corpus_texts, make_tokenizer

CLOSE = {"atol": 1e-4, "rtol": 1e-4}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "is_quick_here", lambda: True)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("n_rows", [1, 7, 8, 9, 33, 64, 81, 130, 513, 640, 641, 2100])
@pytest.mark.parametrize("is_transposed", [False, True])
def test_any_number_of_rows_gives_what_torch_gives(n_rows: int, is_transposed: bool) -> None:
    torch.manual_seed(n_rows)
    x, bias = torch.randn(n_rows, 24), torch.randn(40)
    matrix = torch.randn(40, 24).T if is_transposed else torch.randn(24, 40)
    with torch.inference_mode():
        torch.testing.assert_close(products.times(x, matrix, bias), torch.addmm(bias, x, matrix), **CLOSE)
        torch.testing.assert_close(products.times(x, matrix), x @ matrix, **CLOSE)


@pytest.mark.usefixtures("quick")
def test_every_other_row_and_a_part_of_the_columns_give_what_torch_gives() -> None:
    x = torch.randn(80, 48)[::2, 3:27]
    for matrix in (torch.randn(24, 100)[:, ::3], torch.randn(24, 100)[:, 5:40], torch.randn(100, 24)[::2].T):
        torch.testing.assert_close(products.times(x, matrix), x @ matrix, **CLOSE)


@pytest.mark.usefixtures("quick")
def test_numbers_of_another_kind_are_multiplied_as_torch_does() -> None:
    x, matrix = torch.randn(16, 24, dtype=torch.float64), torch.randn(24, 40, dtype=torch.float64)
    assert torch.equal(products.times(x, matrix), x @ matrix)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kind", [nn.Linear, Conv1D])
def test_a_layer_keeps_its_kind_and_has_gradients_where_they_are_asked_for(kind: type[nn.Module]) -> None:
    layer = kind(24, 40) if kind is nn.Linear else kind(40, 24)
    x = torch.randn(2, 9, 24)
    expected = layer(x).detach()
    products.use_quick_products(holder := nn.Sequential(layer))
    assert isinstance(holder[0], kind)
    assert type(holder[0]) is not kind
    name = "input" if kind is nn.Linear else "x"
    with torch.no_grad():
        torch.testing.assert_close(holder(x), expected, **CLOSE)
        torch.testing.assert_close(layer(**{name: x}), expected, **CLOSE)
        torch.testing.assert_close(layer(x[:1, :1]), expected[:1, :1], **CLOSE)
        assert layer(x[:, :0]).shape == (2, 0, 40)
    x.requires_grad_()
    holder(x).sum().backward()
    weight = layer.weight if kind is nn.Linear else layer.weight.T
    torch.testing.assert_close(x.grad, weight.detach().sum(dim=0).expand_as(x), **CLOSE)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_loaded_model_predicts_what_transformers_own_does(family: str, tmp_path: Path) -> None:
    tokenizer = make_tokenizer(tmp_path, corpus_texts())
    torch.manual_seed(0)
    common = {"vocab_size": len(tokenizer), "initializer_range": 0.2}
    if family == "gpt2":
        sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
        GPT2LMHeadModel(GPT2Config(**common, **sizes)).save_pretrained(tmp_path)
    else:
        sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
        LlamaForCausalLM(LlamaConfig(**common, **sizes)).save_pretrained(tmp_path)
    loaded = load_language_model(str(tmp_path)).model
    assert any(type(module).__name__.startswith("Quick") for module in loaded.modules())
    ids = torch.arange(20, 60).view(2, 20)
    with torch.no_grad():
        expected = AutoModelForCausalLM.from_pretrained(tmp_path)(ids).logits
        torch.testing.assert_close(loaded(ids).logits, expected, **CLOSE)


@pytest.mark.skipif(not products.is_quick_here(), reason="this processor does not gain by oneDNN")
@pytest.mark.parametrize("n_in", [256, 3072])
def test_a_row_gives_the_same_to_the_last_bit_whatever_stands_beside_it(n_in: int) -> None:
    torch.manual_seed(n_in)
    x, matrix = torch.randn(1300, n_in), torch.randn(n_in, 200)
    together = products.times(x, matrix)
    for n_rows in (8, 9, 33, 72, 200, 640):
        for first in (0, 5, 700 - n_rows):
            some = slice(first, first + n_rows)
            assert torch.equal(products.times(x[some], matrix), together[some])


def test_a_processor_that_does_not_gain_keeps_torchs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "is_quick_here", lambda: False)
    layer = nn.Sequential(nn.Linear(24, 40))
    products.use_quick_products(layer)
    assert type(layer[0]) is nn.Linear
    x, matrix = torch.randn(33, 24), torch.randn(24, 40)
    assert torch.equal(products.times(x, matrix), x @ matrix)
    assert products.even_length(3, 33, 1000) == 33


def test_a_torch_without_the_product_keeps_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute '_linear_pointwise'")

    monkeypatch.setattr(products, "_is_made_by_amd", lambda: True)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert products.is_quick_here.__wrapped__()
    monkeypatch.setattr(products, "_operator", missing)
    assert not products.is_quick_here.__wrapped__()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("n_rows", [1, 3, 8, 19])
@pytest.mark.parametrize("length", [5, 33, 64, 127, 200])
def test_rows_are_padded_a_little_so_that_products_need_not_be_filled_up(n_rows: int, length: int) -> None:
    even = products.even_length(n_rows, length, 1000)
    assert length <= even <= length * 9 / 8
    assert products.even_length(n_rows, even, 1000) == even
    assert products.even_length(n_rows, length, length) == length
