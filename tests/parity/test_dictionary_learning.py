"""Dictionaries made by dictionary_learning and saved as its trainers save them, opened by it and by ours."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from dictionary_learning.dictionary import AutoEncoder, AutoEncoderNew, GatedAutoEncoder, JumpReluAutoEncoder
from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
from dictionary_learning.trainers.top_k import AutoEncoderTopK
from dictionary_learning.utils import load_dictionary

from tests.parity.conftest import Agree

LIBRARY = f"dictionary-learning {version('dictionary-learning')}"
D_IN, D_SAE = 32, 96
MADE: dict[str, Any] = {
    "AutoEncoder": lambda: AutoEncoder(D_IN, D_SAE),
    "AutoEncoderNew": lambda: AutoEncoderNew(D_IN, D_SAE),
    "GatedAutoEncoder": lambda: GatedAutoEncoder(D_IN, D_SAE),
    "JumpReluAutoEncoder": lambda: JumpReluAutoEncoder(D_IN, D_SAE),
    "AutoEncoderTopK": lambda: AutoEncoderTopK(D_IN, D_SAE, k=7),
    "BatchTopKSAE": lambda: BatchTopKSAE(D_IN, D_SAE, k=7),
    "MatryoshkaBatchTopKSAE": lambda: MatryoshkaBatchTopKSAE(D_IN, D_SAE, k=7, group_sizes=[24, 72]),
}


@pytest.mark.parametrize("threshold", [0.6, -1.0])
@pytest.mark.parametrize("kind", list(MADE))
def test_each_class(tmp_path: Path, agree: Agree, kind: str, threshold: float) -> None:
    made = MADE[kind]()
    draw = torch.Generator().manual_seed(1)
    for name, parameter in sorted(made.named_parameters()):
        parameter.data = torch.randn(parameter.shape, generator=draw) * 0.3
        if name == "threshold":
            parameter.data = parameter.data.abs() + 0.2
    if "TopK" in kind:
        made.threshold = torch.tensor(threshold)
    torch.save(made.state_dict(), tmp_path / "ae.pt")
    trainer = {
        "dict_class": kind,
        "activation_dim": D_IN,
        "dict_size": D_SAE,
        "layer": 3,
        "lm_name": "EleutherAI/pythia",
    }
    if "TopK" in kind:
        trainer["k"] = 7
    (tmp_path / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": {"ctx_len": 128}}))
    # These two give nothing back from their from_pretrained, or no config: what load_dictionary calls is called here.
    theirs = made if kind in ("AutoEncoderTopK", "JumpReluAutoEncoder") else load_dictionary(str(tmp_path), "cpu")[0]
    agree(tmp_path, LIBRARY, theirs.encode, lambda features, _: theirs.decode(features), kind)
