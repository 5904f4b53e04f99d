"""What a recording was made from: a build goes on, and shards are put together, only where all of it is the same."""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.domain import Json
from app.engine.language_model import LanguageModel
from app.engine.sae import Sae
from app.engine.tokens import encode
from app.index.corpus import digest
from app.index.options import BuildOptions
from app.index.reader import Reader

RECORDING = 3  # how recordings are laid out, and what is said here of what they were made from
_PLACE = ("format", "hook_point", "hook_point_out", "model_name", "l0")
_AT_ONCE = 1 << 22  # numbers of a tensor that are copied at once
_PROBE = "  The 12 Foxes' café — naïve\u00a0日本語, 🎾 3.14\n\tdef f(x): return x  "
# What differs between two builds of the very same dictionary.
_INCIDENTAL = (
    *("batch_tokens", "checkpoint_seconds", "corpus", "device", "device_map", "force", "hook", "id", "model"),
    *("prepend_bos", "replace", "restart", "sae", "shard", "title", "trust_remote_code"),
)


def build_identity(options: BuildOptions, reader: Reader, files: Sequence[Path]) -> dict[str, Json]:
    # As JSON gives it back: tuples are lists there.
    given = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in vars(options).items()
        if name not in _INCIDENTAL
    }
    return {
        "recording": RECORDING,
        "model": reader.model.name,
        "model_weights": _digest(_model_parts(reader.model)),
        "sae_weights": _digest(_sae_parts(reader.sae)),
        "tokenizer": _tokenizer_digest(reader.model.tokenizer),
        "corpus": [file.name for file in files],
        "corpus_digest": digest(files),
        "hook_point": str(reader.hook),
        "prepend_bos": reader.prepend_bos,
        "device": reader.model.device.type,
        **given,
    }


def differing(one: Mapping[str, Json], other: Mapping[str, Json]) -> list[str]:
    """The names of what is not the same."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


def weights_differ(identity: Mapping[str, Json], model: LanguageModel, sae: Sae) -> list[str]:
    """Which of the two are not those that a recording was made with: the model, the SAE."""
    own = {
        "model": _digest(_model_parts(model)) == identity["model_weights"],
        "SAE": _digest(_sae_parts(sae)) == identity["sae_weights"],
    }
    return [name for name, same in own.items() if not same]


def _tokenizer_digest(tokenizer: Any) -> str:
    """Of its vocabulary, and of what it makes of a text with a bit of everything."""
    ids, _ = encode(tokenizer, _PROBE)
    return _digest({"vocabulary": sorted(tokenizer.get_vocab().items()), "probe": ids})


def _model_parts(model: LanguageModel) -> dict[str, Any]:
    """All weights but an encoder's pooler: files may lack it, and then it is made of random numbers at every load."""
    return {name: part for name, part in model.model.state_dict().items() if not name.startswith("pooler.")}


def _sae_parts(sae: Sae) -> dict[str, Any]:
    """What the SAE computes with, without what says where it belongs."""
    parts = {name: value for name, value in vars(sae).items() if name not in _PLACE and name != "nonlinearity"}
    kind = {"nonlinearity": type(sae.nonlinearity).__name__}
    return parts | kind | {f"nonlinearity.{name}": value for name, value in vars(sae.nonlinearity).items()}


def _digest(parts: Mapping[str, Any]) -> str:
    """Of every number of each tensor, and of whatever else stands beside them. A second a GB and thread, or less."""
    names = sorted(parts)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        told = list(pool.map(_told, (parts[name] for name in names)))
    return hashlib.blake2b(repr([*zip(names, told, strict=True)]).encode(), digest_size=16).hexdigest()


def _told(part: Any) -> str:
    if not isinstance(part, Tensor):
        return str(part)
    made = hashlib.blake2b(f"{part.dtype} {tuple(part.shape)}".encode(), digest_size=16)
    rows = part.detach() if part.ndim else part.detach()[None]
    step = max(1, _AT_ONCE * len(rows) // max(1, rows.numel()))
    for first in range(0, len(rows), step):
        made.update(rows[first : first + step].cpu().flatten().view(torch.uint8).numpy().data)
    return made.hexdigest()
