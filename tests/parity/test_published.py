"""Publishers' layouts in a copy of the hub's cache, opened by sae-lens' loaders for them and by ours.

Where sae-lens has no loader, or one that needs the network, the formula is written out here from the publication.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from sae_lens import SAE, __version__
from sae_lens.loading import pretrained_sae_loaders as loaders

from tests.engine.formats import layouts
from tests.engine.formats.layouts import D_IN, Drawn, N, draw, jump, top_k
from tests.parity.conftest import Agree

LOADER = f"sae-lens {__version__}'s loader"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def cached(repository: str) -> Path:
    """The newest snapshot of a repository in the hub's cache, empty."""
    folder = Path(os.environ["HF_HUB_CACHE"]) / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "blobs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text(COMMIT)
    return folder / "snapshots" / COMMIT


def moved_to_blobs(snapshot: Path) -> None:
    """As the hub keeps files: links into blobs."""
    blobs = snapshot.parents[1] / "blobs"
    for file in [file for file in snapshot.rglob("*") if file.is_file() and not file.is_symlink()]:
        blob = blobs / file.relative_to(snapshot).as_posix().replace("/", "-")
        file.rename(blob)
        file.symlink_to(blob)


def theirs(loader: Any, repository: str, folder: str) -> Any:
    def convert(_path: Any, device: str = "cpu", **_: Any) -> Any:
        sizes = {"d_in": D_IN, "d_sae": N, "dtype": "float32", "device": device}
        if "transcoder" in repository:
            sizes["d_out"] = D_IN
        return loader(repository, folder, device, False, sizes)[:2]

    return SAE.load_from_disk("", converter=convert)


def write_set(file: Path, drawn: Drawn) -> Path:
    """With the training run's settings too, which sae-lens reads."""
    layouts.write_circuit_tracer(file, drawn, model_name="Qwen/Qwen3-4B")
    sizes = {"d_model": D_IN, "d_feature": N, "batch_size": 64}
    lines = [f"{key}: {{value: {size}}}" for key, size in sizes.items()]
    file.with_name("wandb-config.yaml").write_text("\n".join(lines))
    return file


Write = Callable[[Path, Drawn], Path]
PUBLISHED: dict[str, tuple[Any, str, str, Write, str]] = {
    "gemma residual": (
        loaders.gemma_2_sae_huggingface_loader,
        "google/gemma-scope-2b-pt-res",
        "layer_20/width_16k/average_l0_71",
        layouts.write_gemma_scope,
        "jumprelu",
    ),
    "gemma embedding": (
        loaders.gemma_2_sae_huggingface_loader,
        "google/gemma-scope-2b-pt-res",
        "embedding/width_4k/average_l0_6",
        layouts.write_gemma_scope,
        "jumprelu, embedding",
    ),
    "gemma transcoder": (
        loaders.gemma_2_transcoder_huggingface_loader,
        "google/gemma-scope-2b-pt-transcoders",
        "layer_5/width_16k/average_l0_41",
        layouts.write_gemma_scope,
        "jumprelu_transcoder",
    ),
    "qwen": (
        loaders.qwen_scope_sae_huggingface_loader,
        "Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_6",
        "layer7.sae.pt",
        layouts.write_qwen_scope,
        "topk",
    ),
    "goodfire": (
        loaders.get_goodfire_huggingface_loader,
        "Goodfire/Llama-3.1-8B-Instruct-SAE-l19",
        "Llama-3.1-8B-Instruct-SAE-l19.pth",
        layouts.write_goodfire,
        "standard",
    ),
    "qresearch": (
        loaders.deepseek_r1_sae_huggingface_loader,
        "qresearch/DeepSeek-R1-Distill-Llama-8B-SAE-l19",
        "DeepSeek-R1-Distill-Llama-8B-SAE-l19.pt",
        layouts.write_qresearch,
        "standard",
    ),
    "circuit-tracer": (
        loaders.mwhanna_transcoder_huggingface_loader,
        "mwhanna/qwen3-4b-transcoders",
        "layer_6.safetensors",
        write_set,
        "transcoder",
    ),
    "attention output": (
        loaders.connor_rob_hook_z_huggingface_loader,
        "ckkissane/attn-saes-gpt2-small-all-layers",
        "gpt2-small_L5_Hcat_z.pt",
        layouts.write_attention_output,
        "standard, hook_z",
    ),
}


@pytest.mark.parametrize("published", list(PUBLISHED))
def test_each_layout_that_sae_lens_reads(agree: Agree, published: str) -> None:
    loader, repository, folder, write, what = PUBLISHED[published]
    snapshot = cached(repository)
    snapshot.mkdir(parents=True, exist_ok=True)
    write(snapshot / folder, draw())
    moved_to_blobs(snapshot)
    sae = theirs(loader, repository, folder)
    x = draw().x.view(-1, 4, D_IN // 4) if "hook_z" in what else None
    agree(snapshot / folder, LOADER, sae.encode, lambda features, _: sae.decode(features), what, x=x)


def test_llama_scope(agree: Agree) -> None:
    repository, folder, norm = "fnlp/Llama3_1-8B-Base-LXR-8x", "Llama3_1-8B-Base-L5R-8x", 9.0
    snapshot = cached(repository)
    layouts.write_llama_scope(snapshot / folder, draw(), 0.8, norm)
    moved_to_blobs(snapshot)
    sae = theirs(loaders.llama_scope_sae_huggingface_loader, repository, folder)
    sae.fold_activation_norm_scaling_factor(D_IN**0.5 / norm)  # as its from_pretrained does
    agree(snapshot / folder, LOADER, sae.encode, lambda features, _: sae.decode(features), "jumprelu")


def test_llama_scope_distilled(agree: Agree) -> None:
    repository, folder, scale = "fnlp/Llama-Scope-R1-Distill", "400M-Slimpajama-400M-OpenR1-Math-220k/L5R", 0.3
    snapshot = cached(repository)
    layouts.write_llama_scope_distill(snapshot / folder, draw())
    moved_to_blobs(snapshot)
    sae = theirs(loaders.llama_scope_r1_distill_sae_huggingface_loader, repository, folder)
    sae.fold_activation_norm_scaling_factor(scale)
    what = "jumprelu, a threshold each"
    agree(snapshot / folder, LOADER, sae.encode, lambda features, _: sae.decode(features), what, scale=scale)


@pytest.mark.parametrize("k", [None, 6])
def test_openai(agree: Agree, tmp_path: Path, k: int | None) -> None:
    drawn = draw()
    file = layouts.write_openai(tmp_path / "8.pt", drawn, k)

    def normalised(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | float, torch.Tensor | float]:
        if k is None:
            return x, 0.0, 1.0
        mean, deviation = x.mean(dim=1, keepdim=True), x.std(dim=1, keepdim=True)
        return (x - mean) / (deviation + 1e-5), mean, deviation

    def encode(x: torch.Tensor) -> torch.Tensor:
        p = (normalised(x)[0] - drawn.b_dec) @ drawn.encoder + drawn.b_enc
        return p.relu() if k is None else top_k(p, k)

    def decode(features: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        _, mean, deviation = normalised(x)
        return drawn.decoded(features) * deviation + mean

    agree(file, "its formula (arXiv 2406.04093)", encode, decode, "standard" if k is None else "topk, layer_norm")


@pytest.mark.parametrize("skips", [False, True])
def test_gemma_scope_2(agree: Agree, tmp_path: Path, skips: bool) -> None:
    drawn = draw()
    skip = torch.randn(D_IN, D_IN, generator=torch.Generator().manual_seed(9)) if skips else None
    agree(
        layouts.write_gemma_scope_2(tmp_path, drawn, skip),
        "its formula",
        lambda x: jump(x @ drawn.encoder + drawn.b_enc, drawn.threshold),
        lambda features, x: drawn.decoded(features) + (0 if skip is None else x @ skip),
        "jumprelu_skip_transcoder" if skips else "jumprelu",
    )
