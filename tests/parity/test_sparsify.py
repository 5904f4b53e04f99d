"""Sparse coders made and saved by EleutherAI's sparsify, opened by it and by ours."""

from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from sparsify import SparseCoder, SparseCoderConfig
from torch import Tensor

from tests.parity.conftest import Agree

LIBRARY = f"eai-sparsify {version('eai-sparsify')}"


@pytest.mark.parametrize("activation", ["topk", "groupmax"])
@pytest.mark.parametrize(
    ("transcode", "skip", "what"),
    [(False, False, "SAE"), (True, False, "transcoder"), (True, True, "skip transcoder")],
)
def test_each_kind(tmp_path: Path, agree: Agree, activation: str, transcode: bool, skip: bool, what: str) -> None:
    config = SparseCoderConfig(
        activation=activation, num_latents=96, k=8, transcode=transcode, skip_connection=skip, normalize_decoder=False
    )
    coder = SparseCoder(32, config)
    draw = torch.Generator().manual_seed(1)
    for _, parameter in sorted(coder.named_parameters()):
        parameter.data = torch.randn(parameter.shape, generator=draw) * 0.3
    coder.save_to_disk(tmp_path / "layers.3")
    theirs = SparseCoder.load_from_disk(tmp_path / "layers.3")

    def encode(x: Tensor) -> Tensor:
        values, places, pre = theirs.encode(x)
        return torch.zeros_like(pre).scatter_(1, places, values)

    agree(tmp_path / "layers.3", LIBRARY, encode, lambda _, x: theirs(x).sae_out, f"{what}, {activation}")
