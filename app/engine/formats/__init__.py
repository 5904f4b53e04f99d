"""On-disk SAE formats, one file each; which one it is is found by the tensors and settings that the files hold.

A format is a module with `NAME`, `holds(files) -> bool` and `load(files) -> Sae`. The first in FORMATS that says yes
to the files loads them, so those that ask for more stand first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from app.engine.formats import (
    attention_output,
    circuit_tracer,
    dictionary_learning,
    gemma_scope,
    gemma_scope_2,
    goodfire,
    llama_scope,
    openai,
    plain,
    qresearch,
    qwen_scope,
    saelens,
    sparsify,
)
from app.engine.formats.files import SUFFIXES, SaeFiles, listed, read_weights, refuse_outside, weights_below
from app.engine.formats.plain import Description
from app.engine.formats.unsupported import refuse_unsupported
from app.engine.sae import Sae
from app.errors import Invalid


class Format(Protocol):
    """What a file of this folder offers. `load` raises Invalid naming the file, and the tensor or key that is wrong."""

    NAME: str

    def holds(self, files: SaeFiles) -> bool: ...

    def load(self, files: SaeFiles) -> Sae: ...


FORMATS: tuple[Format, ...] = (
    saelens,
    sparsify,
    llama_scope,
    openai,
    goodfire,
    dictionary_learning,
    gemma_scope,
    gemma_scope_2,
    qwen_scope,
    attention_output,
    circuit_tracer,
    qresearch,
    plain,
)


@dataclass(frozen=True)
class Found:
    """An SAE's files and the format they are in."""

    format: Format
    files: SaeFiles


def load(path: Path, stated: Description | None = None) -> Sae:
    """The SAE at path, a folder or a file, on the CPU in the dtype of its file. Raises Invalid.

    stated: what plain tensors do not say themselves; the file is then read as such, whatever it looks like.
    """
    found = find(path)
    if stated is not None:
        return plain.load(replace(found.files, stated=stated))
    return found.format.load(found.files)


def find(path: Path) -> Found:
    """What lies at path. Raises Invalid: nothing there, no SAE, several, or one that cannot be read."""
    if not path.exists():
        raise Invalid(f"There is no SAE at {path}: give the folder that holds its files, or the weights file.")
    if path.is_file() and path.suffix in SUFFIXES:
        return recognise(read_weights(path))
    folder = path if path.is_dir() else path.parent
    candidates = list(weights_below(folder))
    for file in candidates:
        refuse_outside(file, folder)
    if not candidates:
        raise Invalid(
            f"{folder} holds no weights file ({', '.join(SUFFIXES)}): SAELens writes sae_weights.safetensors, "
            "sparsify sae.safetensors, dictionary_learning ae.pt, Gemma Scope params.npz."
        )
    if len(candidates) == 1:
        return recognise(read_weights(candidates[0]))
    found = list(_those_known(candidates))
    if len(found) == 1:
        return found[0]
    names = listed([str(file.relative_to(folder)) for file in ([one.files.weights for one in found] or candidates)])
    if not found:
        raise Invalid(f"None of the weights files in {folder} is an SAE in a known format: {names}.")
    raise Invalid(f"{folder} holds {len(found)} SAEs; give one of them: {names}.")


def recognise(files: SaeFiles) -> Found:
    """The format of these files. Raises Invalid, by name for the kinds that are known and not run here."""
    refuse_unsupported(files)
    if plain.description_file(files.weights).is_file():  # somebody said what these tensors are
        return Found(plain, files)
    for each in FORMATS:
        if each.holds(files):
            return Found(each, files)
    raise Invalid(
        f"{files.weights} is in no format known here ({', '.join(each.NAME for each in FORMATS)}); "
        f"it holds {listed(files.tensors)}, and beside it {listed(file.name for file in files.folder.iterdir())}."
    )


def _those_known(candidates: Sequence[Path]) -> Iterator[Found]:
    for file in candidates:
        try:
            yield recognise(read_weights(file))
        except Invalid:
            continue  # an optimizer's state beside the SAE, say
