"""The files of one SAE: weights read without running anything that they hold, and the settings beside them."""

import json
import pickle
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from app.errors import Invalid

if TYPE_CHECKING:
    from app.engine.formats.plain import Description

SUFFIXES = (".safetensors", ".npz", ".pt", ".pth")
# What libraries leave beside an SAE that is no SAE itself.
COMPANIONS = ("sparsity.safetensors", "optimizer.pt", "lr_scheduler.pt", "state.pt", "training_args.pt")
DEEPEST = 5  # folders below the given one that are searched, where it holds no weights itself
# A settings file is a page of text; a larger one is something else.
MAX_SETTINGS = 4 << 20
# Weights are close to random numbers: compression that claims to shrink them further is a bomb.
MAX_COMPRESSION = 20


@dataclass(frozen=True)
class SaeFiles:
    """One weights file, read. Formats take tensors by name, and settings by the name of the file beside it."""

    weights: Path
    tensors: Mapping[str, Tensor]
    # What a pickle holds beside tensors (OpenAI's `activation`): strings, numbers, dictionaries.
    extras: Mapping[str, Any]
    # What somebody says of plain tensors (formats/plain.py); stands above a description beside the file.
    stated: "Description | None" = None

    @property
    def folder(self) -> Path:
        return self.weights.parent

    def settings(self, name: str, *, above: int = 0) -> dict[str, Any]:
        """The JSON object in the folder's `name`, `above` folders up; {} where there is none. Raises Invalid."""
        folder = self.folder.resolve() if above else self.folder
        for _ in range(above):
            folder = folder.parent
        path = folder / name
        return read_settings(path) if path.is_file() else {}

    def take(self, name: str, *shape: int | None) -> Tensor:
        """A tensor of this shape (None: any length). Raises Invalid naming the file and the tensor."""
        if name not in self.tensors:
            raise Invalid(f"{self.weights} has no tensor {name}; it holds {listed(self.tensors)}.")
        tensor = self.tensors[name]
        if tensor.ndim != len(shape) or any(n not in (None, m) for n, m in zip(shape, tensor.shape, strict=True)):
            wanted = " x ".join("any" if n is None else str(n) for n in shape) or "a single number"
            raise Invalid(f"{self.weights}: {name} has shape {tuple(tensor.shape)}, not {wanted}.")
        if not tensor.is_floating_point():
            raise Invalid(f"{self.weights}: {name} holds {tensor.dtype}, not floating-point numbers.")
        if not torch.isfinite(tensor).all():
            raise Invalid(f"{self.weights}: {name} holds NaN or infinity; the weights are damaged.")
        return tensor

    def has(self, *names: str) -> bool:
        return all(name in self.tensors for name in names)

    def agree(self, settings: str, stated: Mapping[str, Any], **actual: int) -> None:
        """Raises Invalid where a settings file states another size than the tensors have."""
        for key, value in actual.items():
            if stated.get(key) is not None and stated[key] != value:
                raise Invalid(
                    f"{self.folder}: {settings} says {key} = {stated[key]}, but the tensors of {self.weights.name} "
                    f"have {value}."
                )


def weights_below(folder: Path) -> Iterator[Path]:
    """The weights files in a folder; where it has none, those of the nearest folders below that have."""
    level = [folder]
    for _ in range(DEEPEST):
        files = [file for each in level for file in sorted(each.iterdir()) if _may_be_weights(file)]
        if files:
            yield from files
            return
        level = [below for each in level for below in sorted(each.iterdir()) if below.is_dir()]


def _may_be_weights(file: Path) -> bool:
    return file.suffix in SUFFIXES and file.name not in COMPANIONS and file.is_file()


def read_weights(path: Path) -> SaeFiles:
    """Raises Invalid naming what is wrong with the file."""
    if path.suffix == ".safetensors":
        return SaeFiles(path, _read_safetensors(path), {})
    if path.suffix == ".npz":
        return SaeFiles(path, _read_npz(path), {})
    return _read_pickle(path)


def read_settings(path: Path) -> dict[str, Any]:
    """A JSON object. Raises Invalid."""
    if path.stat().st_size > MAX_SETTINGS:
        raise Invalid(f"{path} has {path.stat().st_size:,} bytes, too many for an SAE's settings.")
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"{path} is not JSON: {error}.") from error
    if not isinstance(settings, dict):
        raise Invalid(f"{path} holds no JSON object.")
    return settings


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise Invalid(f"{path} cannot be read as safetensors ({error}); is it cut off?") from error
    return tensors


def _read_npz(path: Path) -> dict[str, Tensor]:
    import numpy as np

    _refuse_bomb(path)
    tensors = {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for name in arrays.files:
                tensors[name] = torch.from_numpy(arrays[name])
    except (ValueError, OSError, EOFError, TypeError, MemoryError, zipfile.BadZipFile, KeyError) as error:
        raise Invalid(f"{path} cannot be read as npz ({error}); is it cut off?") from error
    return tensors


def _read_pickle(path: Path) -> SaeFiles:
    """A torch file, with weights_only: tensors and plain values; whatever else it asks for is refused, not run."""
    if zipfile.is_zipfile(path):
        _refuse_bomb(path)
    try:
        held = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        raise Invalid(
            f"{path} holds more than tensors, and opening it would run code from it: "
            f"{_asked_for(str(error)) or reason} Open it where you trust it, and save its state_dict() "
            "with safetensors."
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, TypeError, MemoryError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise Invalid(f"{path} cannot be read as a torch file ({reason}); is it cut off?") from error
    for wrapper in ("state_dict", "model_state_dict"):
        if isinstance(held, Mapping) and isinstance(held.get(wrapper), Mapping):
            held = held[wrapper]
    if not isinstance(held, Mapping):
        raise Invalid(f"{path} holds {type(held).__name__}, not tensors by name (a state_dict).")
    tensors = {str(name): value.detach() for name, value in held.items() if isinstance(value, Tensor)}
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise Invalid(f"{path}: {name} claims more numbers than the file holds.")
    extras = {str(name): value for name, value in held.items() if not isinstance(value, Tensor)}
    return SaeFiles(path, tensors, extras)


def _asked_for(message: str) -> str | None:
    """The global that the unpickler would not give, as torch words it."""
    for line in message.splitlines():
        if "GLOBAL" in line or "global" in line:
            return line.strip().rstrip(".") + "."
    return None


def _refuse_bomb(path: Path) -> None:
    """Raises Invalid for a zip that would unfold into far more than it holds."""
    try:
        with zipfile.ZipFile(path) as archive:
            unfolded = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise Invalid(f"{path} is no whole zip file ({error}); is it cut off?") from error
    if unfolded > MAX_COMPRESSION * max(path.stat().st_size, 1 << 20):
        raise Invalid(f"{path} has {path.stat().st_size:,} bytes and would unfold to {unfolded:,}: no weights do that.")


def listed(names: Iterable[str], most: int = 20) -> str:
    ordered = sorted(names)
    shown = ", ".join(ordered[:most]) or "nothing"
    return shown + (f" and {len(ordered) - most} more" if len(ordered) > most else "")
