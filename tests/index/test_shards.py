"""Shards of a corpus: put together they are one pass, and what does not belong together is named."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from app.errors import Conflict, Invalid
from app.index.build import build_shard, load, make_reader
from app.index.identity import RECORDING, build_identity, differing
from app.index.merge import merge_shards
from app.index.pieces import Shard
from app.index.shards import open_shards
from app.store.database import Database
from tests.conftest import index_tiny, options_of
from tests.dumps import same_rows
from tests.tiny import N_FEATURES, Tiny


@pytest.mark.slow
def test_shards_in_any_order_merge_to_what_one_pass_gives(tiny: Tiny, tmp_path: Path) -> None:
    corpus = tmp_path / "many.txt"
    corpus.write_text("\n".join(f"{text} {n}" for n in range(120) for text in tiny.texts[:42]), encoding="utf-8")
    told = {"corpus": [str(corpus)], "quality_tokens": 100, "dedup": True, "mask_outliers": 1.5}
    whole = index_tiny(tiny, tmp_path / "whole.db", **told)
    shards = [tmp_path / f"{n}.shard" for n in (3, 1, 2)]
    for n, path in zip((3, 1, 2), shards, strict=True):
        build_shard(options_of(tiny, shard=Shard(n, 3), **told), tmp_path / f"work{n}", path)
    database = Database(f"sqlite:///{tmp_path / 'merged.db'}")
    merged = merge_shards("tiny", None, shards, None, None, "cpu", False, 0, database, tmp_path / "work")
    database.close()
    assert merged.n_masked_tokens > whole.n_sentences  # outliers beside one BOS a sentence
    assert same_rows(tmp_path / "merged.db", tmp_path / "whole.db")


@pytest.mark.parametrize("what", ["model_weights", "sae_weights", "tokenizer"])
def test_another_model_sae_or_tokenizer_under_the_same_name_is_noticed(tiny: Tiny, tmp_path: Path, what: str) -> None:
    model, sae = tmp_path / "model", tmp_path / "sae"
    shutil.copytree(tiny.model, model)
    shutil.copytree(tiny.sae, sae)
    told = {"model": str(model), "sae": str(sae)}
    build_shard(options_of(tiny, shard=Shard(1, 2), **told), tmp_path / "work-a", tmp_path / "a")
    if what == "tokenizer":
        file = model / "tokenizer.json"
        told_of = json.loads(file.read_text())
        told_of["model"]["merges"] = told_of["model"]["merges"][:-20]
        file.write_text(json.dumps(told_of))
    else:
        file = (model / "model" if what == "model_weights" else sae / "sae_weights").with_suffix(".safetensors")
        weights = load_file(file)
        name = next(name for name in weights if weights[name].ndim == 2)
        weights[name] *= 1.01
        save_file(weights, file, {"format": "pt"})
    build_shard(options_of(tiny, shard=Shard(2, 2), **told), tmp_path / "work-b", tmp_path / "b")
    with pytest.raises(Conflict, match=f"b was made with another {what} than"):
        open_shards([tmp_path / "a", tmp_path / "b"])


@pytest.mark.parametrize("what", ["model_weights", "sae_weights"])
def test_weights_that_differ_in_the_last_bit_of_one_number_are_noticed(tiny: Tiny, tmp_path: Path, what: str) -> None:
    model, sae = tmp_path / "model", tmp_path / "sae"
    shutil.copytree(tiny.model, model)
    shutil.copytree(tiny.sae, sae)
    weights = load_file(sae / "sae_weights.safetensors")
    repeated = {name: tensor.repeat_interleave(200, dim=-1) for name, tensor in weights.items() if name != "b_dec"}
    wide = weights | repeated | {"W_dec": weights["W_dec"].repeat(200, 1)}
    save_file(wide, sae / "sae_weights.safetensors")
    (sae / "cfg.json").write_text((sae / "cfg.json").read_text().replace(f": {N_FEATURES},", f": {N_FEATURES * 200},"))
    options = options_of(tiny, model=str(model), sae=str(sae))
    before = build_identity(options, make_reader(options, *load(options)), [tiny.corpus])
    file = (model / "model" if what == "model_weights" else sae / "sae_weights").with_suffix(".safetensors")
    weights = load_file(file)
    largest = max(weights.values(), key=torch.numel).view(torch.int32)
    largest[1, 14] ^= 1
    save_file(weights, file, {"format": "pt"})
    after = build_identity(options, make_reader(options, *load(options)), [tiny.corpus])
    assert differing(before, after) == [what]


def test_a_shard_of_another_version_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    build_shard(options_of(tiny, shard=Shard(1, 1)), tmp_path / "work", tmp_path / "a")
    packed = (tmp_path / "a").read_bytes()
    now = f'"recording": {RECORDING}'.encode()
    (tmp_path / "a").write_bytes(packed.replace(now, now[:-1] + b"2", 1))
    with pytest.raises(Invalid, match="a was made by another version"):
        open_shards([tmp_path / "a"])


def test_shards_that_do_not_belong_together_are_named(tiny: Tiny, tmp_path: Path) -> None:
    for name, n, told in (("a", 1, {}), ("b", 2, {"context": 16}), ("c", 2, {})):
        build_shard(options_of(tiny, shard=Shard(n, 2), **told), tmp_path / f"work-{name}", tmp_path / name)

    def merge(*names: str) -> None:
        open_shards([tmp_path / name for name in names])

    with pytest.raises(Conflict, match="b was made with another context than"):
        merge("a", "b")
    with pytest.raises(Conflict, match="Shard 2/2 is missing"):
        merge("a")
    with pytest.raises(Conflict, match="Shard 1/2 is given 2 times"):
        merge("a", "a", "c")
    (tmp_path / "cut").write_bytes((tmp_path / "c").read_bytes()[:-12_000])
    with pytest.raises(Invalid, match="cut"):
        merge("a", "cut")
    merge("c", "a")
