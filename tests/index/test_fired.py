"""What fires, found without adding the encoder's bias to everything, against the SAE's own encode."""

import pytest
import torch

from app.engine.nonlinearities import Gated, JumpRelu, Nonlinearity, Relu, TopK
from app.engine.sae import Sae
from app.index.fired import Fired, fired

D_IN, N_FEATURES, N_TOKENS = 8, 96, 700


def whole(*shape: int, seed: int) -> torch.Tensor:
    """Whole numbers: sums and products of these are exact in whatever order they are added, so equality is real."""
    return torch.randint(-3, 4, shape, generator=torch.Generator().manual_seed(seed)).float()


def make(nonlinearity: Nonlinearity) -> Sae:
    encoder, decoder = whole(D_IN, N_FEATURES, seed=1), whole(N_FEATURES, D_IN, seed=2)
    return Sae("made", "made", encoder, whole(N_FEATURES, seed=3), decoder, torch.zeros(D_IN), nonlinearity)


def dense(found: Fired) -> torch.Tensor:
    made = torch.zeros(N_TOKENS, N_FEATURES)
    made[found.tokens.astype("int64"), found.features.astype("int64")] = torch.from_numpy(found.values)
    return made


@pytest.mark.parametrize(
    "nonlinearity",
    [
        Relu(),
        JumpRelu(torch.arange(N_FEATURES).float() / 8),
        JumpRelu(-torch.ones(N_FEATURES)),
        TopK(5),
        Gated(torch.full((N_FEATURES,), 2.0), torch.ones(N_FEATURES)),
    ],
    ids=["relu", "jumprelu", "jumprelu below zero", "topk", "gated"],
)
def test_what_fires_is_what_the_sae_encodes_above_zero(nonlinearity: Nonlinearity) -> None:
    sae, x = make(nonlinearity), whole(N_TOKENS, D_IN, seed=4)
    found = fired(sae, x)
    assert (found.values > 0).all()
    own = sae.encode(x.clone())
    if isinstance(nonlinearity, TopK):  # which of equal ones are among the k is not said
        own, made = own.sum(dim=1), dense(found).sum(dim=1)
        assert torch.equal(made, own)
    else:
        assert torch.equal(dense(found), own)


def test_a_pre_activation_at_its_threshold_does_not_fire() -> None:
    x = whole(N_TOKENS, D_IN, seed=4)
    before = make(Relu()).pre_activations(x)
    threshold = before.max(dim=0).values
    assert len(fired(make(JumpRelu(threshold)), x).values) == 0
    found = dense(fired(make(JumpRelu(threshold - 1)), x))
    assert torch.equal(found > 0, (before == threshold) & (threshold > 0))


def test_a_bias_far_from_its_threshold_loses_nothing() -> None:
    """There a rounded difference of both is off by more than what fires lies above the threshold."""
    draw = torch.Generator().manual_seed(5)
    x, encoder = torch.randn(N_TOKENS, D_IN, generator=draw), torch.randn(D_IN, N_FEATURES, generator=draw)
    bias, threshold = torch.full((N_FEATURES,), -1000.0), torch.full((N_FEATURES,), 0.001)
    encoder = encoder * 1000 / (x @ encoder).quantile(0.9, dim=0)
    sae = Sae("made", "made", encoder, bias, encoder.T.contiguous(), torch.zeros(D_IN), JumpRelu(threshold))
    found = dense(fired(sae, x))
    torch.testing.assert_close(found, sae.encode(x.clone()), atol=1e-3, rtol=1e-4)
    assert (found[found > 0] > 0.001).all()
