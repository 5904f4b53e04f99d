"""Indexes over models of other kinds, and over SAEs that read and write elsewhere than in the stream."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from app.engine.logits import feature_logits
from app.engine.model_files import load_language_model
from app.errors import Invalid
from app.main import create_app
from app.settings import Settings
from tests.conftest import index_tiny
from tests.tiny import D_MODEL, N_FEATURES, Tiny, make_sae

pytestmark = pytest.mark.slow


def ask(path: Path, address: str) -> Any:
    with TestClient(create_app(Settings(db=str(path)))) as client:
        answer = client.get(f"/api/v1{address}")
        assert client.get(address).status_code == 200
        return json.loads(answer.text)


def features(path: Path) -> list[tuple[Any, ...]]:
    with sqlite3.connect(path) as database:
        found = database.execute('SELECT "index", n_active_tokens, n_active_sentences, max_activation FROM features')
        return sorted(found.fetchall())


def test_one_place_under_three_names_gives_one_index(tiny: Tiny, tmp_path: Path) -> None:
    rows = []
    for number, hook in enumerate(["blocks.1.hook_resid_pre", "blocks.0.hook_resid_post", "model.layers.0"]):
        made = index_tiny(tiny, tmp_path / f"{number}.db", hook=hook, quality_tokens=0)
        rows.append(features(tmp_path / f"{number}.db"))
    assert rows[0] == rows[1] == rows[2]
    assert made.hook_point == "blocks.0.hook_resid_post"


def test_a_site_that_the_model_does_not_have_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="goes through no norm"):
        index_tiny(tiny, tmp_path / "x.db", hook="blocks.0.ln1_post.hook_normalized")
    with pytest.raises(Invalid, match="reads 32 numbers a token, but model has 64"):
        index_tiny(tiny, tmp_path / "x.db", hook="blocks.0.mlp.hook_post")


def test_an_sae_of_heads_promotes_through_their_projection(tiny: Tiny, tmp_path: Path) -> None:
    made = index_tiny(tiny, tmp_path / "x.db", hook="blocks.1.attn.hook_z")
    assert made.hook_point == "blocks.1.attn.hook_z"
    model = load_language_model(str(tiny.model))
    decoder = load_file(tiny.sae / "sae_weights.safetensors")["W_dec"]
    written = decoder @ model.blocks[1].get_submodule("self_attn.o_proj").weight.T  # type: ignore[operator]
    logits = feature_logits(model, written)
    promoted = ask(tmp_path / "x.db", "/dictionaries/tiny/features/3")["logits"]["promoted"]
    assert [one["token_id"] for one in promoted] == logits[3].topk(10).indices.tolist()
    assert promoted[0]["logit"] == pytest.approx(float(logits[3].max()), rel=1e-3)


def test_a_transcoder_is_read_in_one_place_and_measured_where_it_writes(tiny: Tiny, tmp_path: Path) -> None:
    sae = tmp_path / "transcoder"
    hooks = {"hook_name": "blocks.1.mlp.hook_in", "hook_name_out": "blocks.1.hook_mlp_out"}
    make_sae(sae, architecture="jumprelu_transcoder", d_out=D_MODEL, metadata=hooks | {"model_name": "model"})
    made = index_tiny(tiny, tmp_path / "x.db", sae=str(sae))
    assert made.hook_point == "blocks.1.mlp.hook_in"
    model = load_language_model(str(tiny.model))
    weights = load_file(sae / "sae_weights.safetensors")
    logits = feature_logits(model, weights["W_dec"])
    promoted = ask(tmp_path / "x.db", "/dictionaries/tiny/features/3")["logits"]["promoted"]
    assert promoted[0]["token_id"] == int(logits[3].argmax())
    # One that always writes the mean explains nothing of the MLP's output, whatever it reads.
    weights["b_enc"].fill_(-1000.0)
    save_file(weights, sae / "sae_weights.safetensors")
    silent = index_tiny(tiny, tmp_path / "y.db", sae=str(sae))
    assert silent.quality.explained_variance is not None
    assert silent.quality.explained_variance <= 0


def test_an_encoder_has_features_and_no_logits(tiny: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "bert"
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made.train_from_iterator(tiny.texts, trainers.WordPieceTrainer(vocab_size=300, special_tokens=special))
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=made, mask_token="[MASK]", **names).save_pretrained(folder)
    torch.manual_seed(0)
    size = {"hidden_size": D_MODEL, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = BertConfig(vocab_size=made.get_vocab_size(), max_position_embeddings=64, initializer_range=0.4, **size)
    BertForMaskedLM(config).save_pretrained(folder)
    path = tmp_path / "x.db"
    done = index_tiny(tiny, path, model=str(folder), hook="blocks.1.hook_resid_post")
    assert done.quality.ce_recovered is None
    assert done.quality.explained_variance is not None
    feature = ask(path, "/dictionaries/tiny/features/3")
    assert feature["logits"] == {"promoted": [], "suppressed": []}
    assert feature["n_active_tokens"] > 0
    assert done.n_features == N_FEATURES
