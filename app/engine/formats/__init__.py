"""On-disk SAE formats: one file each with a `load`; which one it is is found by what a folder holds."""

from pathlib import Path

import torch

from app.engine.formats import saelens
from app.engine.sae import Sae
from app.errors import Invalid


def load(path: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Sae:
    """The SAE at path. Raises Invalid naming what was looked for."""
    if not path.exists():
        raise Invalid(f"There is no SAE at {path}: give the folder that holds {saelens.CONFIG} and {saelens.WEIGHTS}.")
    folder = path.parent if path.name in (saelens.CONFIG, saelens.WEIGHTS) else path
    if folder.is_dir() and (folder / saelens.CONFIG).is_file() and (folder / saelens.WEIGHTS).is_file():
        return saelens.load(folder, device, dtype)
    raise Invalid(
        f"{path} holds no SAE in a format known here: a SAELens folder has {saelens.CONFIG} and {saelens.WEIGHTS}."
    )
