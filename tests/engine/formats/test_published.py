"""Layouts of publishers without a library: files as published, formulas written out from the publication."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from app.engine.sae import Sae, load_sae
from tests.engine.formats import layouts
from tests.engine.formats.layouts import D_IN, D_OUT, N, draw, jump, top_k


def check(sae: Sae, x: Tensor, features: Tensor, reconstructed: Tensor) -> None:
    assert (features != 0).any()
    assert (features == 0).any()
    torch.testing.assert_close(sae.encode(x), features, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sae.reconstruct(x), reconstructed, rtol=1e-5, atol=1e-5)


def test_gemma_scope(tmp_path: Path) -> None:
    drawn = draw()
    folder = tmp_path / "gemma-scope-2b-pt-res" / "layer_20" / "width_16k" / "average_l0_71"
    sae = load_sae(layouts.write_gemma_scope(folder, drawn))
    features = jump(drawn.p, drawn.threshold)
    check(sae, drawn.x, features, drawn.decoded(features))
    assert (sae.format, sae.hook_point, sae.l0) == ("Gemma Scope", "blocks.20.hook_resid_post", 71)
    assert sae.model_name == "google/gemma-2-2b"


def test_gemma_scope_over_embeddings_reads_what_the_stream_holds(tmp_path: Path) -> None:
    drawn = draw()
    folder = tmp_path / "gemma-scope-2b-pt-res" / "embedding" / "width_4k" / "average_l0_6"
    sae = load_sae(layouts.write_gemma_scope(folder, drawn))
    features = jump((drawn.x / D_IN**0.5) @ drawn.encoder + drawn.b_enc, drawn.threshold)
    check(sae, drawn.x, features, features @ drawn.decoder * D_IN**0.5 + drawn.b_dec)


def test_gemma_scope_transcoder_writes_elsewhere(tmp_path: Path) -> None:
    drawn = draw(D_OUT)
    folder = tmp_path / "gemma-scope-2b-pt-transcoders" / "layer_5" / "width_16k" / "average_l0_41"
    sae = load_sae(layouts.write_gemma_scope(folder, drawn))
    features = jump(drawn.p, drawn.threshold)
    check(sae, drawn.x, features, drawn.decoded(features))
    assert (sae.hook_point, sae.hook_point_out) == ("blocks.5.ln2.hook_normalized", "blocks.5.hook_mlp_out")
    assert (sae.d_in, sae.d_out, sae.transcoder) == (D_IN, D_OUT, True)


def test_gemma_scope_2(tmp_path: Path) -> None:
    drawn = draw()
    sae = load_sae(layouts.write_gemma_scope_2(tmp_path, drawn))
    features = jump(drawn.p, drawn.threshold)
    check(sae, drawn.x, features, drawn.decoded(features))
    assert (sae.hook_point, sae.model_name, sae.l0) == ("blocks.7.hook_resid_post", "google/gemma-3-1b-pt", 20)
    assert not sae.transcoder


def test_gemma_scope_2_transcoder_adds_its_affine_skip(tmp_path: Path) -> None:
    drawn = draw(D_OUT)
    skip = torch.randn(D_IN, D_OUT, generator=torch.Generator().manual_seed(9))
    hooks = {
        "hf_hook_point_in": "model.layers.7.pre_feedforward_layernorm.output",
        "hf_hook_point_out": "model.layers.7.post_feedforward_layernorm.output",
    }
    sae = load_sae(layouts.write_gemma_scope_2(tmp_path, drawn, skip, **hooks))
    features = jump(drawn.p, drawn.threshold)
    check(sae, drawn.x, features, drawn.decoded(features) + drawn.x @ skip)
    assert (sae.hook_point, sae.hook_point_out) == ("blocks.7.mlp.hook_in", "blocks.7.hook_mlp_out")


def test_openai_relu_reads_the_input_as_it_is(tmp_path: Path) -> None:
    drawn = draw()
    sae = load_sae(layouts.write_openai(tmp_path / "8.pt", drawn, None))
    features = torch.relu(drawn.p_centred)
    check(sae, drawn.x, features, drawn.decoded(features))


def test_openai_top_k_normalises_with_the_unbiased_deviation(tmp_path: Path) -> None:
    drawn = draw()
    sae = load_sae(layouts.write_openai(tmp_path / "8.pt", drawn, 6))
    mean = drawn.x.mean(dim=1, keepdim=True)
    deviation = ((drawn.x - mean).square().sum(dim=1, keepdim=True) / (D_IN - 1)).sqrt()
    x = (drawn.x - mean) / (deviation + 1e-5)
    features = top_k((x - drawn.b_dec) @ drawn.encoder + drawn.b_enc, 6)
    check(sae, drawn.x, features, drawn.decoded(features) * deviation + mean)


def test_llama_scope_scales_the_input_and_the_threshold(tmp_path: Path) -> None:
    drawn, norm, threshold = draw(), 9.0, 0.8
    sae = load_sae(layouts.write_llama_scope(tmp_path, drawn, threshold, norm))
    scale = D_IN**0.5 / norm
    p = (drawn.x * scale) @ drawn.encoder + drawn.b_enc
    features = jump(p, torch.full((N,), threshold * scale))
    check(sae, drawn.x, features, drawn.decoded(features) / scale)
    assert (sae.hook_point, sae.normalisation) == ("blocks.5.hook_resid_post", "none")


def test_llama_scope_transcoder_has_another_scale_where_it_writes(tmp_path: Path) -> None:
    drawn = draw()
    changed = {"hook_point_out": "blocks.5.hook_mlp_out", "dataset_average_activation_norm": {"in": 9.0, "out": 2.0}}
    sae = load_sae(layouts.write_llama_scope(tmp_path, drawn, 0.8, 9.0, **changed))
    scale = D_IN**0.5 / 9.0
    features = jump((drawn.x * scale) @ drawn.encoder + drawn.b_enc, torch.full((N,), 0.8 * scale))
    check(sae, drawn.x, features, drawn.decoded(features) / (D_IN**0.5 / 2.0))


def test_llama_scope_distilled_waits_for_its_factor(tmp_path: Path) -> None:
    drawn, scale = draw(), 0.3
    sae = load_sae(layouts.write_llama_scope_distill(tmp_path, drawn))
    assert sae.normalisation == "expected_average_only_in"
    features = jump((drawn.x * scale) @ drawn.encoder + drawn.b_enc, drawn.threshold)
    check(sae.with_input_scale(scale), drawn.x, features, drawn.decoded(features) / scale)


def test_qwen_scope_takes_k_from_the_release(tmp_path: Path) -> None:
    drawn = draw()
    file = layouts.write_qwen_scope(tmp_path / "SAE-Res-Qwen3-1.7B-Base-W32K-L0_6" / "layer7.sae.pt", drawn)
    sae = load_sae(file)
    features = top_k(drawn.p, 6)
    check(sae, drawn.x, features, drawn.decoded(features))
    assert (sae.hook_point, sae.model_name) == ("blocks.7.hook_resid_post", "Qwen/Qwen3-1.7B-Base")


def test_goodfire(tmp_path: Path) -> None:
    drawn = draw()
    sae = load_sae(layouts.write_goodfire(tmp_path / "Llama-3.1-8B-Instruct-SAE-l19.pth", drawn))
    features = torch.relu(drawn.p)
    check(sae, drawn.x, features, drawn.decoded(features))
    assert (sae.hook_point, sae.model_name) == ("blocks.19.hook_resid_post", "meta-llama/Llama-3.1-8B-Instruct")


def test_attention_output(tmp_path: Path) -> None:
    drawn = draw()
    sae = load_sae(layouts.write_attention_output(tmp_path / "gpt2-small_L5.pt", drawn))
    features = torch.relu(drawn.p_centred)
    check(sae, drawn.x, features, drawn.decoded(features))
    heads = drawn.x.view(-1, 4, D_IN // 4)
    torch.testing.assert_close(sae.encode(heads), features, rtol=1e-5, atol=1e-5)


def test_circuit_tracer(tmp_path: Path) -> None:
    drawn = draw(D_OUT)
    skip = torch.randn(D_OUT, D_IN, generator=torch.Generator().manual_seed(9))
    sae = load_sae(layouts.write_circuit_tracer(tmp_path / "plain" / "layer_6.safetensors", drawn))
    features = torch.relu(drawn.p)
    check(sae, drawn.x, features, drawn.decoded(features))
    assert (sae.hook_point, sae.hook_point_out) == ("blocks.6.mlp.hook_in", "blocks.6.hook_mlp_out")
    hooks = {"feature_input_hook": "hook_resid_mid", "feature_output_hook": "mlp.hook_out"}
    file = tmp_path / "skips" / "layer_6.safetensors"
    skips = load_sae(layouts.write_circuit_tracer(file, drawn, skip, model_name="google/gemma-3-1b", **hooks))
    check(skips, drawn.x, features, drawn.decoded(features) + drawn.x @ skip.T)
    assert (skips.hook_point, skips.hook_point_out) == ("blocks.6.hook_resid_mid", "model.layers.6.mlp")
    assert (skips.model_name, skips.transcoder) == ("google/gemma-3-1b", True)


def test_qresearch(tmp_path: Path) -> None:
    drawn = draw()
    sae = load_sae(layouts.write_qresearch(tmp_path / "DeepSeek-R1-Distill-Llama-8B-SAE-l19.pt", drawn))
    features = torch.relu(drawn.p)
    check(sae, drawn.x, features, drawn.decoded(features))
    assert (sae.hook_point, sae.model_name) == ("blocks.19.hook_resid_post", "deepseek-ai/DeepSeek-R1-Distill-Llama-8B")


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("turned", [True, False])
def test_plain_tensors_are_read_as_described(tmp_path: Path, turned: bool, centred: bool) -> None:
    drawn = draw()
    encoder, decoder = (drawn.encoder.T, drawn.decoder.T) if turned else (drawn.encoder, drawn.decoder)
    tensors = {"W_enc": encoder.contiguous(), "W_dec": decoder.contiguous(), "b_enc": drawn.b_enc, "b_dec": drawn.b_dec}
    file = tmp_path / "mine.safetensors"
    save_file(tensors, file)
    described = {"activation": "topk", "k": 5, "centre_input": centred, "hook_point": "blocks.2.hook_mlp_out"}
    (tmp_path / "mine.safetensors.json").write_text(json.dumps(described))
    features = top_k(drawn.p_centred if centred else drawn.p, 5)
    sae = load_sae(file)
    check(sae, drawn.x, features, drawn.decoded(features))
    assert (sae.hook_point, sae.l0) == ("blocks.2.hook_mlp_out", 5)
