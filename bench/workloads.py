"""The index bench's workloads: seeded models, SAEs and token ids of fixed shapes, in the files a user would have."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from app.domain import TokenSpan
from app.engine.tokens import Window
from app.index.corpus import Record
from app.index.pieces import Piece, Placed

L0 = 50
K = 32


@dataclass(frozen=True)
class Workload:
    """layer: the block whose input the SAE reads. activation: relu or topk."""

    name: str
    n_layers: int
    d_model: int
    n_vocabulary: int
    layer: int
    n_features: int
    n_tokens: int
    activation: str
    context: int = 128

    @property
    def hook(self) -> str:
        return f"blocks.{self.layer}.hook_resid_pre"


SMALL = {"n_layers": 4, "d_model": 256, "n_vocabulary": 8192, "layer": 2, "n_features": 4096, "n_tokens": 262_144}
LARGE = {"n_layers": 12, "d_model": 768, "n_vocabulary": 50_257, "layer": 8, "n_features": 24_576, "n_tokens": 65_536}
WORKLOADS = [
    Workload(f"{size}_{activation}", activation=activation, **shape)
    for size, shape in (("small", SMALL), ("large", LARGE))
    for activation in ("relu", "topk")
]


def make_model(workload: Workload, folder: Path) -> Path:
    """A GPT-2 of the workload's shape with seeded weights, and a tokenizer of numbered words."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=workload.n_vocabulary,
        n_embd=workload.d_model,
        n_layer=workload.n_layers,
        n_head=workload.d_model // 64,
        n_positions=max(1024, workload.context),
        bos_token_id=0,
        eos_token_id=0,
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    words = {word(i): i for i in range(workload.n_vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=word(0)))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    return folder


def make_sae(workload: Workload, folder: Path, sample: torch.Tensor) -> Path:
    """sample: (n, d_model) activations at the hook, from which the bias that gives L0 is found."""
    draw = torch.Generator().manual_seed(1)
    decoder = torch.nn.functional.normalize(torch.randn(workload.n_features, workload.d_model, generator=draw), dim=1)
    encoder = decoder.T.contiguous() / sample.norm(dim=1).mean()
    bias = torch.zeros(workload.n_features)
    if workload.activation == "relu":
        before = (sample @ encoder).flatten()
        bias -= before.kthvalue(int(len(before) * (1 - L0 / workload.n_features))).values
    tensors = {"W_enc": encoder, "b_enc": bias, "W_dec": decoder, "b_dec": torch.zeros(workload.d_model)}
    folder.mkdir()
    save_file(tensors, folder / "sae_weights.safetensors")
    config = {
        "architecture": "standard" if workload.activation == "relu" else "topk",
        "d_in": workload.d_model,
        "d_sae": workload.n_features,
        "dtype": "float32",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "metadata": {"hook_name": workload.hook, "prepend_bos": False},
        **({"k": K} if workload.activation == "topk" else {}),
    }
    (folder / "cfg.json").write_text(json.dumps(config))
    return folder


def token_ids(workload: Workload) -> torch.Tensor:
    """(n_windows, context): few tokens are frequent and many are rare, as in text."""
    draw = torch.Generator().manual_seed(2)
    shares = torch.rand(workload.n_tokens // workload.context, workload.context, generator=draw)
    return (shares**3 * workload.n_vocabulary).long().clamp(max=workload.n_vocabulary - 1)


def make_pieces(ids: torch.Tensor) -> list[Piece]:
    """What reading and tokenizing would give: pieces of 32,768 tokens."""
    placed = [_placed(number, row) for number, row in enumerate(ids.tolist())]
    n = 32_768 // ids.shape[1]
    return [Piece(i // n, placed[i : i + n], 0) for i in range(0, len(placed), n)]


def word(token_id: int) -> str:
    return f" w{token_id}"


def _placed(number: int, ids: list[int]) -> Placed:
    words = [word(token) for token in ids]
    text = "".join(words)
    return Placed(Window(text, ids, list(spans(words)), 0), number, Record(text, {}, "bench", number, 0))


def spans(words: list[str]) -> Iterator[TokenSpan]:
    start = 0
    for one in words:
        yield TokenSpan(start, start + len(one))
        start += len(one)
