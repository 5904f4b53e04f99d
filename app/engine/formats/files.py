"""The files of one SAE: weights read without running anything that they hold, and the settings beside them."""

import json
import pickle
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml
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
class Settings:
    """One JSON object, with its values by kind. All raise Invalid naming the file and the key; null is absent."""

    path: Path
    held: Mapping[str, Any]

    def text(self, key: str) -> str | None:
        value = self._of(key, str, "a text")
        return None if value is None else str(value)

    def whole(self, key: str) -> int | None:
        value = self._of(key, int, "a whole number")
        return None if value is None else int(value)

    def number(self, key: str) -> float | None:
        value = self._of(key, (int, float), "a number")
        return None if value is None else float(value)

    def flag(self, key: str) -> bool | None:
        value = self._of(key, bool, "true or false")
        return None if value is None else bool(value)

    def part(self, key: str) -> "Settings":
        """A JSON object within; empty where it is absent."""
        return Settings(self.path, self._of(key, dict, "an object") or {})

    def one_of(self, key: str, known: Iterable[str], default: str) -> str:
        value = self.text(key) or default
        if value not in known:
            raise self.refused(f"{key} is {value!r}, which is not known; these are: {', '.join(known)}.")
        return value

    def refused(self, why: str) -> Invalid:
        return Invalid(f"{self.path}: {why}")

    def __contains__(self, key: str) -> bool:
        return self.held.get(key) is not None

    def __bool__(self) -> bool:
        return bool(self.held)

    def _of(self, key: str, kind: type | tuple[type, ...], named: str) -> Any:
        value = self.held.get(key)
        if value is None:
            return None
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.refused(f"{key} is {value!r}, not {named}.")
        return value


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

    def settings(self, name: str, *, above: bool = False) -> Settings:
        """The JSON or YAML object in the folder's `name`, or in that of the folder above; empty where there is none."""
        path = (self.folder.absolute().parent if above else self.folder) / name
        return read_settings(path) if path.is_file() else Settings(path, {})

    def take(self, name: str, *shape: int | None) -> Tensor:
        """A tensor of this shape (None: any length). Raises Invalid naming the file and the tensor."""
        if name not in self.tensors:
            raise Invalid(f"{self.weights} has no tensor {name}; it holds {listed(self.tensors)}.")
        tensor = self.tensors[name]
        if tensor.ndim != len(shape) or any(n not in (None, m) for n, m in zip(shape, tensor.shape, strict=True)):
            wanted = " x ".join("any" if n is None else str(n) for n in shape) or "a single number"
            raise Invalid(f"{self.weights}: {name} has shape {tuple(tensor.shape)}, not {wanted}.")
        if tensor.numel() == 0:
            raise Invalid(f"{self.weights}: {name} is empty, with shape {tuple(tensor.shape)}.")
        if not tensor.is_floating_point():
            raise Invalid(f"{self.weights}: {name} holds {tensor.dtype}, not floating-point numbers.")
        if not torch.isfinite(tensor).all():
            raise Invalid(f"{self.weights}: {name} holds NaN or infinity; the weights are damaged.")
        return tensor

    def has(self, *names: str) -> bool:
        return all(name in self.tensors for name in names)

    def agree(self, settings: Settings, **actual: int) -> None:
        """Raises Invalid where a settings file states another size than the tensors have."""
        for key, value in actual.items():
            stated = settings.whole(key)
            if stated is not None and stated != value:
                raise settings.refused(f"{key} is {stated}, but the tensors of {self.weights.name} have {value}.")

    def top_k(self, settings: Settings, k: int | None, n_features: int) -> int:
        """k, which a top-k SAE must have. Raises Invalid."""
        if k is None or not 1 <= k <= n_features:
            raise settings.refused(f"a top-k SAE needs k from 1 to {n_features}, its features, not {k}.")
        return k


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


def read_settings(path: Path) -> Settings:
    """A JSON object, or a YAML one by the file's name. Raises Invalid."""
    refuse_outside(path, path.parent)
    if path.stat().st_size > MAX_SETTINGS:
        raise Invalid(f"{path} has {path.stat().st_size:,} bytes, too many for an SAE's settings.")
    kind = "YAML" if path.suffix == ".yaml" else "JSON"
    try:
        settings = _parsed(path.read_text(encoding="utf-8"), kind)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise Invalid(f"{path} is not {kind}: {error}.") from error
    if not isinstance(settings, dict):
        raise Invalid(f"{path} holds no {kind} object.")
    return Settings(path, settings)


def _parsed(text: str, kind: str) -> Any:
    return yaml.safe_load(text) if kind == "YAML" else json.loads(text)


def refuse_outside(file: Path, folder: Path) -> None:
    """Raises Invalid for a link out of the folder. The hub's cache is let through: its files are links to its blobs."""
    real = file.resolve()
    hub = next((above.parent for above in folder.absolute().parents if above.name == "snapshots"), None)
    allowed = [folder.resolve(), *([] if hub is None else [hub.resolve() / "blobs"])]
    if not any(real.is_relative_to(each) for each in allowed):
        raise Invalid(f"{file} is a link to {real}, outside of {folder}; give that file itself if it is meant.")


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
