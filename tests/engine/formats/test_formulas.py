"""What libraries do differently: one test for each quantity, which fails where one is taken for the other."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from app.engine.sae import Sae, load_sae
from tests.engine.formats import layouts
from tests.engine.formats.layouts import D_IN, D_OUT, N, draw, jump, top_k


def same(one: Tensor, other: Tensor) -> None:
    assert (one != 0).any()
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(8))


@pytest.mark.parametrize("centred", [True, False])
def test_the_input_loses_the_decoder_bias_where_the_config_says(tmp_path: Path, centred: bool) -> None:
    drawn = draw()
    sae = load_sae(layouts.write_saelens(tmp_path, drawn, apply_b_dec_to_input=centred))
    same(sae.encode(drawn.x), torch.relu(drawn.p_centred if centred else drawn.p))


def test_a_config_from_before_6_centres_unless_it_says_otherwise(tmp_path: Path) -> None:
    drawn = draw()
    layouts.write_saelens(tmp_path, drawn)
    (tmp_path / "cfg.json").write_text(f'{{"d_in": {D_IN}, "d_sae": {N}, "hook_point": "blocks.1.hook_resid_pre"}}')
    sae = load_sae(tmp_path)
    same(sae.encode(drawn.x), torch.relu(drawn.p_centred))
    assert sae.hook_point == "blocks.1.hook_resid_pre"


def test_sparsify_centres_and_its_transcoders_do_not(tmp_path: Path) -> None:
    drawn = draw()
    same(load_sae(layouts.write_sparsify(tmp_path / "layers.2", drawn, 5)).encode(drawn.x), top_k(drawn.p_centred, 5))
    transcoder = load_sae(layouts.write_sparsify(tmp_path / "layers.2.mlp", drawn, 5, transcode=True))
    same(transcoder.encode(drawn.x), top_k(drawn.p, 5))
    assert (transcoder.hook_point, transcoder.hook_point_out) == ("blocks.2.mlp.hook_in", "blocks.2.hook_mlp_out")


def test_sparsify_skips_from_the_input_as_it_comes(tmp_path: Path) -> None:
    drawn = draw()
    sae = load_sae(layouts.write_sparsify(tmp_path / "layers.2.mlp", drawn, 5, transcode=True, skip_connection=True))
    skip = torch.full((D_IN, D_IN), 0.1) + torch.arange(D_IN) / 50
    same(sae.reconstruct(drawn.x), drawn.decoded(top_k(drawn.p, 5)) + drawn.x @ skip.T)


def test_sparsify_groupmax_keeps_one_feature_of_each_group(tmp_path: Path) -> None:
    drawn = draw()
    sae = load_sae(layouts.write_sparsify(tmp_path / "layers.2", drawn, 8, activation="groupmax"))
    expected = torch.cat([top_k(group, 1) for group in drawn.p_centred.split(N // 8, dim=1)], dim=1)
    same(sae.encode(drawn.x), expected)


def test_a_threshold_below_zero_lets_no_negative_activation_through(tmp_path: Path) -> None:
    drawn = draw()
    below = {"threshold": torch.full((N,), -0.4)}
    same(
        load_sae(layouts.write_saelens(tmp_path, drawn, below, architecture="jumprelu")).encode(drawn.x), drawn.p.relu()
    )


def test_a_threshold_is_compared_with_the_pre_activation_and_does_not_lower_it(tmp_path: Path) -> None:
    drawn = draw()
    sae = load_sae(layouts.write_saelens(tmp_path, drawn, {"threshold": drawn.threshold}, architecture="jumprelu"))
    same(sae.encode(drawn.x), jump(drawn.p, drawn.threshold))


def test_a_gate_decides_by_its_own_bias_and_not_by_the_magnitude(tmp_path: Path) -> None:
    drawn = draw()
    gate, magnitude, log_scale = normal(N), normal(N).roll(3), normal(N).roll(7) * 0.5
    further = {"b_gate": gate, "b_mag": magnitude, "r_mag": log_scale}
    sae = load_sae(layouts.write_saelens(tmp_path, drawn, further, architecture="gated"))
    q = drawn.x @ drawn.encoder
    same(sae.encode(drawn.x), (q + gate > 0) * torch.relu(q * log_scale.exp() + magnitude))


def test_layer_norm_divides_by_the_unbiased_deviation(tmp_path: Path) -> None:
    drawn = draw()
    sae = load_sae(layouts.write_saelens(tmp_path, drawn, normalize_activations="layer_norm"))
    mean = drawn.x.mean(dim=1, keepdim=True)
    deviation = ((drawn.x - mean).square().sum(dim=1, keepdim=True) / (D_IN - 1)).sqrt()
    features = torch.relu((drawn.x - mean) / (deviation + 1e-5) @ drawn.encoder + drawn.b_enc)
    same(sae.encode(drawn.x), features)
    same(sae.reconstruct(drawn.x), drawn.decoded(features) * deviation + mean)


def test_constant_norm_gives_each_token_the_norm_of_root_d(tmp_path: Path) -> None:
    drawn = draw()
    sae = load_sae(layouts.write_saelens(tmp_path, drawn, normalize_activations="constant_norm_rescale"))
    scale = D_IN**0.5 / drawn.x.norm(dim=1, keepdim=True)
    features = torch.relu((drawn.x * scale) @ drawn.encoder + drawn.b_enc)
    same(sae.encode(drawn.x), features)
    same(sae.reconstruct(drawn.x), drawn.decoded(features) / scale)


def test_an_average_scale_is_not_applied_until_it_is_known(tmp_path: Path) -> None:
    drawn = draw()
    stated = {"normalize_activations": "expected_average_only_in", "apply_b_dec_to_input": True}
    sae = load_sae(layouts.write_saelens(tmp_path, drawn, **stated))
    assert sae.normalisation == "expected_average_only_in"
    same(sae.encode(drawn.x), torch.relu(drawn.p_centred))
    scaled = sae.with_input_scale(0.4)
    same(scaled.encode(drawn.x), sae.encode(drawn.x * 0.4))
    same(scaled.reconstruct(drawn.x), sae.reconstruct(drawn.x * 0.4) / 0.4)
    assert scaled.normalisation == "none"


def test_top_k_may_compare_pre_activations_times_the_decoder_norm(tmp_path: Path) -> None:
    drawn = draw()
    given = {"architecture": "topk", "k": 5}
    same(load_sae(layouts.write_saelens(tmp_path / "plain", drawn, **given)).encode(drawn.x), top_k(drawn.p, 5))
    norm = drawn.decoder.norm(dim=1)
    rescaled = layouts.write_saelens(tmp_path / "rescaled", drawn, **given, rescale_acts_by_decoder_norm=True)
    features = top_k(drawn.p * norm, 5)
    same(load_sae(rescaled).encode(drawn.x), features)
    same(load_sae(rescaled).reconstruct(drawn.x), drawn.decoded(features / norm))


def test_top_k_gives_fewer_than_k_where_fewer_are_positive(tmp_path: Path) -> None:
    drawn = draw()
    assert ((drawn.p > 0).sum(dim=1) < 35).any()
    sae = load_sae(layouts.write_saelens(tmp_path, drawn, architecture="topk", k=35))
    same(sae.encode(drawn.x), top_k(drawn.p, 35))


def test_absolute_top_k_keeps_signs(tmp_path: Path) -> None:
    drawn = draw()
    sae = load_sae(layouts.write_saelens(tmp_path, drawn, architecture="abstopk", k=5))
    features = top_k(drawn.p.abs(), 5) * drawn.p.sign()
    assert (features < 0).any()
    same(sae.encode(drawn.x), features)


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("jumps", [True, False])
def test_transcoders_do_not_centre_and_leave_their_output_in_its_own_scale(
    tmp_path: Path, jumps: bool, skip: bool
) -> None:
    drawn = draw(D_OUT)
    weight = normal(D_OUT, D_IN)
    further = ({"threshold": drawn.threshold} if jumps else {}) | ({"W_skip": weight} if skip else {})
    architecture = ("jumprelu_" if jumps else "") + ("skip_" if skip else "") + "transcoder"
    metadata = {"hook_name": "blocks.1.ln2.hook_normalized", "hook_name_out": "blocks.1.hook_mlp_out"}
    stated = {"architecture": architecture, "d_out": D_OUT, "normalize_activations": "layer_norm", "metadata": metadata}
    stated |= {"apply_b_dec_to_input": None}  # absent, and the default is true
    sae = load_sae(layouts.write_saelens(tmp_path, drawn, further, **stated))
    mean, deviation = drawn.x.mean(dim=1, keepdim=True), drawn.x.std(dim=1, keepdim=True)
    p = (drawn.x - mean) / (deviation + 1e-5) @ drawn.encoder + drawn.b_enc
    features = jump(p, drawn.threshold) if jumps else p.relu()
    same(sae.encode(drawn.x), features)
    same(sae.reconstruct(drawn.x), drawn.decoded(features) + (drawn.x @ weight.T if skip else 0))
    assert (sae.hook_point, sae.hook_point_out) == tuple(metadata.values())


def test_matching_pursuit_explains_the_residual_step_by_step(tmp_path: Path) -> None:
    drawn = draw()
    stated = {"architecture": "matching_pursuit", "residual_threshold": 1.5, "max_iterations": 6}
    sae = load_sae(layouts.write_saelens(tmp_path, drawn, **stated, apply_b_dec_to_input=True))
    expected = torch.zeros(len(drawn.x), N)
    for row, x in enumerate(drawn.x - drawn.b_dec):
        residual = x.clone()
        for _ in range(6):
            products = drawn.decoder @ residual
            best = int(products.argmax())
            seen_before = expected[row, best] != 0
            expected[row, best] += products[best].relu()
            residual = residual - products[best].relu() * drawn.decoder[best]
            if residual.norm() < 1.5 or seen_before or products[best] <= 0:
                break
    same(sae.encode(drawn.x), expected)
    same(sae.reconstruct(drawn.x), drawn.decoded(expected))


def dictionary(drawn: layouts.Drawn, bias: str | None) -> dict[str, Tensor]:
    state = {name: tensor for name, tensor in layouts.linear_tensors(drawn).items() if name != "decoder.bias"}
    return state | ({bias: drawn.b_dec} if bias else {"decoder.bias": drawn.b_dec})


def test_dictionary_learning_puts_the_decoder_norm_of_its_plain_class_into_activations(tmp_path: Path) -> None:
    drawn = draw()
    sae = load_sae(layouts.write_dictionary_learning(tmp_path, "AutoEncoder", dictionary(drawn, "bias")))
    features = torch.relu(drawn.p_centred)
    same(sae.encode(drawn.x), features * drawn.decoder.norm(dim=1))
    same(sae.reconstruct(drawn.x), drawn.decoded(features))


def test_dictionary_learning_centres_all_but_two_classes(tmp_path: Path) -> None:
    drawn = draw()
    new = load_sae(layouts.write_dictionary_learning(tmp_path / "new", "AutoEncoderNew", dictionary(drawn, None)))
    same(new.encode(drawn.x), drawn.p.relu())
    state = {"W_enc": drawn.encoder, "b_enc": drawn.b_enc, "W_dec": drawn.decoder, "b_dec": drawn.b_dec}
    jumping = state | {"threshold": drawn.threshold}
    sae = load_sae(layouts.write_dictionary_learning(tmp_path / "jump", "JumpReluAutoEncoder", jumping))
    same(sae.encode(drawn.x), jump(drawn.p, drawn.threshold))
    sizes = {"threshold": torch.tensor(0.5), "k": torch.tensor(7), "group_sizes": torch.tensor([10, 30])}
    batch = layouts.write_dictionary_learning(tmp_path / "batch", "MatryoshkaBatchTopKSAE", state | sizes, k=7)
    same(load_sae(batch).encode(drawn.x), jump(drawn.p_centred, torch.full((N,), 0.5)))


def test_dictionary_learning_top_k_leaves_its_threshold_aside_and_batch_top_k_uses_it(tmp_path: Path) -> None:
    drawn = draw()
    state = dictionary(drawn, "b_dec") | {"threshold": torch.tensor(0.5), "k": torch.tensor(7)}
    saes: list[Sae] = [
        load_sae(layouts.write_dictionary_learning(tmp_path / kind, kind, state, k=7))
        for kind in ("AutoEncoderTopK", "BatchTopKSAE")
    ]
    same(saes[0].encode(drawn.x), top_k(drawn.p_centred, 7))
    same(saes[1].encode(drawn.x), jump(drawn.p_centred, torch.full((N,), 0.5)))
    assert [sae.hook_point for sae in saes] == ["blocks.3.hook_resid_post"] * 2
