"""Checkpoints beyond the recording: what a build has computed of it, block by block, on disk.

A block that is there is not computed again, whichever blocks are missing; what is stored in the database is made of
them anew, since that takes far less time. So the database never holds half of what a build that died knew.
"""

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar, get_type_hints
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from app.domain import Json
from app.version import VERSION

_MADE_FROM = "made_from.json"
T = TypeVar("T")


class Checkpoints:
    """Blocks in one folder, each a file that is there whole or not at all.

    Nothing is kept until `seconds` have passed: a short build ends before, and a killed one loses no more than that.
    made_from: blocks that were made from something else, or by another version, are removed.
    """

    def __init__(self, folder: Path, made_from: Mapping[str, Json], seconds: float) -> None:
        self.folder = folder
        versions = {name: version(name) for name in ("torch", "transformers")}
        own = {**made_from, "featurescope": VERSION, **versions}
        if _read_json(folder / _MADE_FROM) != own:
            self.remove()
            folder.mkdir(parents=True)
            (folder / _MADE_FROM).write_text(json.dumps(own), encoding="utf-8")
        self._keeps_from = time.monotonic() + seconds

    def once(self, kind: type[T], first: int, last: int, make: Callable[[], T]) -> T:
        """What is kept of items first to last - 1, or what `make` gives of them, which is kept then.

        kind: a dataclass of arrays, or of such dataclasses. Any thread may ask.
        """
        file = self.folder / kind.__name__ / f"{first}-{last}.npz"
        found = _load(kind, file)
        if found is not None:
            return found
        made = make()
        if time.monotonic() >= self._keeps_from:
            _save(made, file)
        return made

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _save(made: Any, file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    draft = file.with_suffix(".new")
    with draft.open("wb") as out:
        np.savez(out, allow_pickle=False, **_arrays("", made))
    draft.replace(file)


def _load(kind: type[T], file: Path) -> T | None:
    """None too for a damaged file, such as a power cut leaves: it is made anew."""
    try:
        with np.load(file) as arrays:
            made: T = _made(kind, "", arrays)
            return made
    except (OSError, EOFError, KeyError, ValueError, BadZipFile):
        return None


def _arrays(name: str, part: Any) -> dict[str, NDArray[Any]]:
    """Every array of nested dataclasses by the names that lead to it: `.statistics.n_tokens`."""
    if not is_dataclass(part):
        return {name: part}
    found: dict[str, NDArray[Any]] = {}
    for field in fields(part):
        found |= _arrays(f"{name}.{field.name}", getattr(part, field.name))
    return found


def _made(kind: Any, name: str, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """The reverse of _arrays."""
    if not is_dataclass(kind) or not isinstance(kind, type):
        return arrays[name]
    return kind(**{part: _made(hint, f"{name}.{part}", arrays) for part, hint in get_type_hints(kind).items()})


def _read_json(file: Path) -> Json:
    try:
        found: Json = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found
