"""The live side on GPT-2's shape (positions that are added, LayerNorm, Conv1D), against GPT-2 written out by hand."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm

from app.engine.activations import Piece, run_pieces
from app.engine.attribution import attribute
from app.engine.hook_points import parse_hook_point
from app.engine.loaded_models import Loaded
from app.engine.model_files import load_language_model
from app.engine.predictions import predict_next
from app.engine.sae import load_sae
from app.engine.separation import peaks_of, separate
from app.engine.steering import steer
from app.engine.tokens import windows
from app.live import AttributionRequest, Mode, RawStrength, Side, SteeringRequest, SteeringSummary
from tests.engine.families import make_family
from tests.tiny import D_MODEL, N_FEATURES, Tiny, make_tokenizer

TEXT = "The match and the serve"
OTHERS = ("rain", "onion, pan and oven", "The racket")
LAYERS, HEADS = 3, 4
TARGET, VERSUS = 30, 40


class ByHand:
    """GPT-2 (Radford et al. 2019) and a JumpReLU SAE from their files' tensors alone, over one row of ids."""

    def __init__(self, model: dict[str, Tensor], sae: dict[str, Tensor]) -> None:
        self.model = {name.removeprefix("transformer."): tensor for name, tensor in model.items()}
        self.sae = sae

    def embed(self, ids: Tensor) -> Tensor:
        return self.model["wte.weight"][ids] + self.model["wpe.weight"][: len(ids)]

    def block(self, layer: int, x: Tensor) -> Tensor:
        read = self._norm(f"h.{layer}.ln_1", x)
        parts = self._project(f"h.{layer}.attn.c_attn", read).split(D_MODEL, dim=-1)
        query, key, value = (part.view(len(x), HEADS, -1).transpose(0, 1) for part in parts)
        scores = query @ key.transpose(1, 2) / math.sqrt(D_MODEL // HEADS)
        later = torch.ones(len(x), len(x)).triu(1).bool()
        mixed = scores.masked_fill(later, -math.inf).softmax(dim=-1) @ value
        x = x + self._project(f"h.{layer}.attn.c_proj", mixed.transpose(0, 1).reshape(len(x), -1))
        inner = gelu(self._project(f"h.{layer}.mlp.c_fc", self._norm(f"h.{layer}.ln_2", x)), approximate="tanh")
        return x + self._project(f"h.{layer}.mlp.c_proj", inner)

    def stream(self, ids: Tensor) -> Tensor:
        """What the SAE reads: the stream before the second block."""
        return self.block(0, self.embed(ids))

    def logits(self, stream: Tensor) -> Tensor:
        """From there to the end: (n_positions, n_vocabulary)."""
        for layer in range(1, LAYERS):
            stream = self.block(layer, stream)
        return self._norm("ln_f", stream) @ self.model["wte.weight"].T

    def encode(self, x: Tensor) -> Tensor:
        before = x @ self.sae["W_enc"] + self.sae["b_enc"]
        return before * (before > self.sae["threshold"])

    def activations(self, loaded: Loaded, text: str) -> Tensor:
        return self.encode(self.stream(ids_of(loaded, text))[1:])

    def _norm(self, name: str, x: Tensor) -> Tensor:
        return layer_norm(x, (D_MODEL,), self.model[f"{name}.weight"], self.model[f"{name}.bias"])

    def _project(self, name: str, x: Tensor) -> Tensor:
        return x @ self.model[f"{name}.weight"] + self.model[f"{name}.bias"]


@pytest.fixture(scope="module")
def loaded(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = tmp_path_factory.mktemp("gpt2")
    tokenizer = make_tokenizer(folder, tiny.texts)
    made = make_family("gpt2", vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=0)
    made.model.save_pretrained(folder)
    model = load_language_model(str(folder))
    assert model.bos_id is not None
    hook = parse_hook_point("blocks.1.hook_resid_pre")
    return Loaded(model, load_sae(tiny.sae), hook, 32, (model.bos_id,), most_threads=1)


@pytest.fixture(scope="module")
def by_hand(loaded: Loaded, tiny: Tiny) -> ByHand:
    return ByHand(
        load_file(f"{loaded.model.model.name_or_path}/model.safetensors"),
        load_file(tiny.sae / "sae_weights.safetensors"),
    )


@pytest.fixture
def linear(loaded: Loaded) -> Iterator[Loaded]:
    """Read after the last block of the model without its final norm: its logits are linear in what is read."""
    body = loaded.model.model.transformer
    norm, body.ln_f = body.ln_f, nn.Identity()
    yield replace(loaded, hook=parse_hook_point("blocks.2.hook_resid_post"))
    body.ln_f = norm


def ids_of(loaded: Loaded, text: str) -> Tensor:
    return torch.tensor([*loaded.bos, *loaded.model.tokenizer(text, add_special_tokens=False)["input_ids"]])


def run(step: Callable[[], Any]) -> Any:
    return step()


def kept(loaded: Loaded, *texts: str) -> list[Any]:
    """What is kept of each text, all in one batch."""
    cut = [windows(loaded.model.tokenizer, text, loaded.window_tokens) for text in texts]
    return [window for (window,) in run_pieces(loaded, [Piece(its, N_FEATURES, [3]) for its in cut])]


def test_activations_are_those_of_the_formulas(loaded: Loaded, by_hand: ByHand) -> None:
    for text, found in zip((TEXT, *OTHERS), kept(loaded, TEXT, *OTHERS), strict=True):
        acts = by_hand.activations(loaded, text)
        peaks = torch.zeros(N_FEATURES)
        peaks[torch.from_numpy(found.features)] = torch.from_numpy(found.peaks)
        assert torch.allclose(peaks, acts.max(dim=0).values, atol=1e-5)
        assert torch.allclose(torch.from_numpy(found.followed)[:, 0], acts[:, 3], atol=1e-5)


def test_features_are_found_by_the_pairs_that_they_win(loaded: Loaded, by_hand: ByHand) -> None:
    having, lacking = (TEXT, "The racket"), ("rain", "onion, pan and oven", "fog")
    peaks = {text: by_hand.activations(loaded, text).max(dim=0).values for text in (*having, *lacking)}
    some = peaks_of(kept(loaded, *having), N_FEATURES), peaks_of(kept(loaded, *lacking), N_FEATURES)
    found = separate(*some, N_FEATURES).features
    assert len(found) > 5
    for feature in found:
        pairs = [(peaks[one][feature.index], peaks[other][feature.index]) for one in having for other in lacking]
        won = sum(float(one > other) + 0.5 * float(one == other) for one, other in pairs)
        assert feature.auc == pytest.approx(won / len(pairs))


def test_the_next_tokens_are_those_of_the_formulas(loaded: Loaded, by_hand: ByHand) -> None:
    expected = by_hand.logits(by_hand.stream(ids_of(loaded, TEXT)))[-1].softmax(dim=0).topk(5)
    position = len(ids_of(loaded, TEXT)) - 2
    found = predict_next(loaded, TEXT, position, 5)
    assert [token.token_id for token in found] == expected.indices.tolist()
    assert [token.probability for token in found] == pytest.approx(expected.values.tolist(), abs=1e-5)


def test_contributions_are_activation_times_gradient_and_ablation_takes_the_feature_out(
    loaded: Loaded, by_hand: ByHand
) -> None:
    stream = by_hand.stream(ids_of(loaded, TEXT))
    (slope,) = torch.autograd.grad(by_hand.logits(moved := stream.clone().requires_grad_())[-1, TARGET], moved)
    acts, rows = by_hand.encode(stream[1:]), by_hand.sae["W_dec"]
    contributions = acts * (slope[1:] @ rows.T)
    error = stream[1:] - acts @ rows - by_hand.sae["b_dec"]

    found = attribute(loaded, AttributionRequest(TEXT, target=TARGET, n=N_FEATURES), run)
    assert found.value == pytest.approx(float(by_hand.logits(stream)[-1, TARGET]), abs=1e-4)
    assert found.by_token == pytest.approx(contributions.sum(dim=1).tolist(), abs=1e-4)
    assert found.from_error == pytest.approx(float((error * slope[1:]).sum()), abs=1e-4)
    assert found.from_bos == pytest.approx(float((stream[0] * slope[0]).sum()), abs=1e-4)
    assert len(found.features) > 5
    for feature in found.features:
        assert feature.by_token == pytest.approx(contributions[:, feature.index].tolist(), abs=1e-4)
        without = stream.clone()
        without[1:] -= acts[:, feature.index, None] * rows[feature.index]
        changed = float(by_hand.logits(without)[-1, TARGET])
        assert feature.ablation_effect == pytest.approx(found.value - changed, abs=1e-4)


def test_what_a_linear_read_out_is_made_of_is_the_value_exactly(linear: Loaded, by_hand: ByHand) -> None:
    stream = by_hand.stream(ids_of(linear, TEXT))
    for layer in range(1, LAYERS):
        stream = by_hand.block(layer, stream)
    read_out = by_hand.model["wte.weight"][TARGET] - by_hand.model["wte.weight"][VERSUS]
    contributions = by_hand.encode(stream[-1]) * (by_hand.sae["W_dec"] @ read_out)

    found = attribute(linear, AttributionRequest(TEXT, target=TARGET, versus=VERSUS, n=N_FEATURES), run)
    assert found.value == pytest.approx(float(stream[-1] @ read_out), abs=1e-4)
    assert found.from_features == pytest.approx(float(contributions.sum()), abs=1e-4)
    assert found.from_bias == pytest.approx(float(by_hand.sae["b_dec"] @ read_out), abs=1e-4)
    assert found.from_features + found.from_error + found.from_bias == pytest.approx(found.value, abs=1e-4)
    assert (found.from_bos, found.rest) == (0, pytest.approx(0, abs=1e-4))
    for feature in found.features:
        assert feature.contribution == pytest.approx(float(contributions[feature.index]), abs=1e-4)
        assert feature.ablation_effect == pytest.approx(feature.contribution, abs=1e-4)


def test_a_steered_text_is_written_by_the_formulas_with_the_features_pushed(loaded: Loaded, by_hand: ByHand) -> None:
    """One added, one clamped; each token the likeliest, and its divergence from the unsteered model's."""
    rows = by_hand.sae["W_dec"]

    def pushed(stream: Tensor) -> Tensor:
        missing = 1.5 - by_hand.encode(stream[1:])[:, 7, None]
        return torch.cat([stream[:1], stream[1:] + 3.0 * rows[3] + missing * rows[7]])

    strengths = [RawStrength(3, 1.5, Mode.ADD, 3.0, 2.0), RawStrength(7, 0.75, Mode.CLAMP, 1.5, 2.0)]
    asked = SteeringRequest(TEXT, [], temperature=0, max_new_tokens=8)
    *tokens, summary = steer(loaded, asked, strengths, [], run)
    assert isinstance(summary, SteeringSummary)
    written = [token.token_id for token in tokens if token.side is Side.STEERED]
    assert len(written) == 8
    ids, divergence = ids_of(loaded, TEXT), []
    for token in written:
        stream = by_hand.stream(ids)
        base, steered = (by_hand.logits(x)[-1].log_softmax(dim=0) for x in (stream, pushed(stream)))
        assert token == int(steered.argmax())
        divergence.append(float((steered.exp() * (steered - base)).sum()))
        ids = torch.cat([ids, torch.tensor([token])])
    assert summary.texts[1].kl == pytest.approx(divergence, abs=1e-4)
