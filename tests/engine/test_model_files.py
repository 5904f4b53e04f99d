"""What a model may be loaded from, and what is refused before it gives wrong activations."""

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from app.engine.hook_points import HookPoint
from app.engine.model_files import load_language_model
from app.errors import Invalid
from tests.tiny import Tiny

IDS = torch.tensor([[0, 30, 31, 32, 33]])


def copy_of(tiny: Tiny, folder: Path) -> Path:
    folder.mkdir()
    for file in tiny.model.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def test_weights_that_a_checkpoint_lacks_are_not_made_up(tiny: Tiny, tmp_path: Path) -> None:
    folder = copy_of(tiny, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(Invalid, match=r"lack model\.layers\.1\.mlp\.up_proj\.weight"):
        load_language_model(str(folder))


def test_code_that_comes_with_a_model_is_run_only_when_asked(tiny: Tiny, tmp_path: Path) -> None:
    folder = copy_of(tiny, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    own = {"AutoConfig": "novel.NovelConfig", "AutoModelForCausalLM": "novel.Novel"}
    config |= {"model_type": "novel", "auto_map": own}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "novel.py").write_text(
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        f"open({str(tmp_path / 'ran')!r}, 'w').close()\n"
        "class NovelConfig(LlamaConfig):\n    model_type = 'novel'\n"
        "class Novel(LlamaForCausalLM):\n    config_class = NovelConfig\n"
    )
    with pytest.raises(Invalid, match="--trust-remote-code"):
        load_language_model(str(folder))
    assert not (tmp_path / "ran").exists()
    with pytest.raises(Invalid, match=r"novel is no architecture .*--parts blocks=model\.layers"):
        load_language_model(str(folder), trust_remote_code=True)
    assert (tmp_path / "ran").exists()
    parts = ["blocks=model.layers", "final_norm=model.norm"]
    novel = load_language_model(str(folder), trust_remote_code=True, parts=parts)
    known = load_language_model(str(tiny.model))
    hook = HookPoint(1, "resid_post")
    assert torch.equal(novel.capture(IDS, torch.ones_like(IDS), hook), known.capture(IDS, torch.ones_like(IDS), hook))


def test_half_precision_is_near(tiny: Tiny) -> None:
    hook = HookPoint(1, "resid_post")
    mask = torch.ones_like(IDS)
    exact = load_language_model(str(tiny.model)).capture(IDS, mask, hook)
    half = load_language_model(str(tiny.model), dtype="bfloat16").capture(IDS, mask, hook)
    assert half.dtype == torch.bfloat16
    assert torch.allclose(half.float(), exact, atol=0.05 * float(exact.abs().max()))


def test_a_device_map_gives_the_same(tiny: Tiny) -> None:
    hook = HookPoint(1, "resid_post")
    mask = torch.ones_like(IDS)
    spread = load_language_model(str(tiny.model), device_map="auto")
    assert torch.equal(spread.capture(IDS, mask, hook), load_language_model(str(tiny.model)).capture(IDS, mask, hook))


def write_gguf(tiny: Tiny, file: Path) -> None:
    """The tiny Llama as llama.cpp's converter writes it: float32 tensors, and rows of q and k in its order."""
    config = json.loads((tiny.model / "config.json").read_text())
    tokenizer = json.loads((tiny.model / "tokenizer.json").read_text())
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("gpt2")
    tokens = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if i < 2 else 1 for i in range(len(tokens))])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_pad_token_id(1)
    names = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    inside = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v"}
    inside |= {"self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up"}
    inside |= {"mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    heads = config["num_attention_heads"]
    for name, tensor in load_file(tiny.model / "model.safetensors").items():
        part = name.removesuffix(".weight")
        values = tensor.float().numpy()
        if part not in names:
            _, _, layer, rest = part.split(".", 3)
            if inside[rest] in ("attn_q", "attn_k"):
                values = values.reshape(heads, 2, -1, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
            names[part] = f"blk.{layer}.{inside[rest]}"
        writer.add_tensor(f"{names[part]}.weight", np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.slow
def test_a_gguf_file_gives_what_its_folder_gives(tiny: Tiny, tmp_path: Path) -> None:
    write_gguf(tiny, tmp_path / "tiny.gguf")
    with pytest.raises(Invalid, match=r"it holds tiny\.gguf: give that file"):
        load_language_model(str(tmp_path))
    found = load_language_model(str(tmp_path / "tiny.gguf"))
    exact = load_language_model(str(tiny.model))
    mask = torch.ones_like(IDS)
    assert torch.allclose(found.logits(IDS, mask), exact.logits(IDS, mask), atol=1e-4)
    text = "The match and the serve of tennis — naïve 🦊."
    assert found.tokenizer(text)["input_ids"] == exact.tokenizer(text)["input_ids"]
