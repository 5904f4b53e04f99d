"""The published SAEs that SAELens lists: release, model, where on the hub, what each reads. Read from an installed
sae-lens where there is one, else from the table beside this file, made by recipes/list_published_saes.py."""

import json
import lzma
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("published_saes.json.xz")
# Names of TransformerLens as the hub has them, of the models that SAEs were published for.
HUB_NAMES = {
    "gpt2-small": "openai-community/gpt2",
    "gpt2": "openai-community/gpt2",
    "gemma-2b": "google/gemma-2b",
    "gemma-2b-it": "google/gemma-2b-it",
    "gemma-2-2b": "google/gemma-2-2b",
    "gemma-2-2b-it": "google/gemma-2-2b-it",
    "gemma-2-9b": "google/gemma-2-9b",
    "gemma-2-9b-it": "google/gemma-2-9b-it",
    "gemma-2-27b": "google/gemma-2-27b",
    "mistral-7b": "mistralai/Mistral-7B-v0.1",
    "pythia-70m-deduped": "EleutherAI/pythia-70m-deduped",
    "pythia-160m-deduped": "EleutherAI/pythia-160m-deduped",
    "qwen3-0.6b": "Qwen/Qwen3-0.6B",
    "qwen3-1.7b": "Qwen/Qwen3-1.7B",
    "qwen3-4b": "Qwen/Qwen3-4B",
    "qwen3-8b": "Qwen/Qwen3-8B",
    "qwen3-14b": "Qwen/Qwen3-14B",
}
_SITES = {
    "resid_post": "hook_resid_post",
    "attn_out": "attn.hook_z",
    "mlp_out": "hook_mlp_out",
    "transcoder": "mlp.hook_in",
    "clt": "mlp.hook_in",
    "-res": "hook_resid_post",
    "-att": "attn.hook_z",
    "-mlp": "hook_mlp_out",
    "R": "hook_resid_post",
    "A": "hook_attn_out",
    "M": "hook_mlp_out",
}
_WIDTH = re.compile(r"width[_-](?:2pow)?(\d+)(k|m)?")


@dataclass(frozen=True)
class PublishedSae:
    """One SAE that a name stands for. None: not known before its files are there.

    model: its name on the hub. scale: what its input is multiplied by, where its own files do not hold the factor.
    centred: it was trained on a stream whose every token has mean 0 (TransformerLens' center_writing_weights).
    normalisation: of its input, where the files do not say.
    """

    release: str
    id: str
    repo: str
    path: str
    model: str
    hook_point: str | None
    width: int | None
    l0: float | None
    scale: float | None
    centred: bool
    normalisation: str | None

    @property
    def name(self) -> str:
        return f"{self.release}/{self.id}"


@dataclass(frozen=True)
class Registry:
    """The table, and in words which one it is."""

    source: str
    releases: Mapping[str, Any]

    def saes(self, release: str) -> Iterator[PublishedSae]:
        facts = self.releases[release]
        for id, path, l0, scale in facts["saes"]:
            yield PublishedSae(
                release=release,
                id=id,
                repo=facts["repo"],
                path=path,
                model=HUB_NAMES.get(facts["model"], facts["model"]),
                hook_point=_hook_point(facts["kind"], facts["repo"], id, path),
                width=_width(facts["kind"], facts["repo"], path),
                l0=l0,
                scale=scale,
                centred=facts.get("centred", False),
                normalisation=facts.get("normalisation"),
            )


@cache
def read_registry() -> Registry:
    """The table of an installed sae-lens, else ours."""
    found = find_spec("sae_lens")
    if found is not None and found.origin is not None:
        yaml = Path(found.origin).with_name("pretrained_saes.yaml")
        if yaml.is_file():
            return Registry("of the sae-lens installed here", read_yaml(yaml))
    table = json.loads(lzma.decompress(TABLE.read_bytes()))
    return Registry(f"of sae-lens {table['sae_lens']}, {table['date']}", table["releases"])


def read_yaml(path: Path) -> dict[str, Any]:
    """What is kept of SAELens' pretrained_saes.yaml: of each release its facts, of each SAE id, path, L0 and scale."""
    import yaml

    # The one written in Python takes half a minute.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(path.read_text(encoding="utf-8"))
    releases: dict[str, Any] = {}
    for release, told in loader.get_single_data().items():
        overrides = told.get("config_overrides") or {}
        facts: dict[str, Any] = {
            "repo": told["repo_id"],
            "model": told["model"],
            "kind": told.get("conversion_func") or "sae_lens",
            "saes": [
                [sae["id"], str(sae["path"]), sae.get("l0"), sae.get("norm_scaling_factor")] for sae in told["saes"]
            ],
        }
        if (overrides.get("model_from_pretrained_kwargs") or {}).get("center_writing_weights"):
            facts["centred"] = True
        if overrides.get("normalize_activations"):
            facts["normalisation"] = overrides["normalize_activations"]
        releases[release] = facts
    return releases


def _hook_point(kind: str, repo: str, id: str, path: str) -> str | None:
    """Where an SAE reads, by the rules of SAELens' loader of its kind, which mostly read it from names."""
    named = re.search(r"blocks\.\d+\.(?:attn\.|mlp\.)?hook_(?:resid_(?:pre|mid|post)|attn_out|mlp_out|z)", id)
    if named is not None:
        return named[0].replace(".hook_z", ".attn.hook_z") if ".attn." not in named[0] else named[0]
    layer = re.search(r"layer_?(\d+)|\bL(\d+)[RAM]\b|[-/]L(\d+)[RAM]|-l(\d+)\.", path)
    number = next((group for group in layer.groups() if group is not None), None) if layer else None
    if number is None or kind == "temporal":
        return None
    if kind == "gemma_2_transcoder":
        return f"blocks.{number}.ln2.hook_normalized"
    if kind == "mwhanna_transcoder":
        return f"blocks.{number}.mlp.hook_in"
    if kind in ("llama_scope", "llama_scope_r1_distill"):
        letter = re.search(r"L\d+([RAM])", path)
        return f"blocks.{number}.{_SITES[letter[1]]}" if letter else None
    if kind == "gemma_2":
        site = next((lens for key, lens in _SITES.items() if key.startswith("-") and key in repo), None)
        return f"blocks.{number}.{site}" if site else None
    if kind == "gemma_3":
        site = next((lens for key, lens in _SITES.items() if key in path), None)
        return f"blocks.{number}.{site}" if site else None
    return f"blocks.{number}.hook_resid_post"


def _width(kind: str, repo: str, path: str) -> int | None:
    """How many features an SAE has, where its names say it."""
    if kind == "qwen_scope":
        found = re.search(r"-W(\d+)K", repo)
        return int(found[1]) * 1024 if found else None
    if kind.startswith("llama_scope"):
        found = re.search(r"-(\d+)x", path)
        return 4096 * int(found[1]) if found else 32_768
    found = _WIDTH.search(f"{path} {repo}")
    if found is None:
        return None
    if "2pow" in found[0]:
        return 1 << int(found[1])
    # Gemma Scope's 16k is 2^14, 131k is 2^17, 1m is 2^20: the power of two nearest to the thousands.
    thousands = int(found[1]) * {"k": 1000, "m": 1_000_000}.get(found[2] or "", 1)
    return 1 << round(math.log2(thousands))
