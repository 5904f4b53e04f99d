"""What an SAE's files hold, and what looks wrong about them: for `featurescope inspect`."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from app.engine import formats
from app.engine.formats.plain import Description
from app.engine.nonlinearities import AbsTopK, JumpRelu
from app.engine.sae import Sae

# Below this a decoder row adds nothing, and its feature cannot matter.
ZERO_NORM = 1e-6
# Encoder and decoder of a trained feature point alike (cosine around 0.2 to 1); of unrelated matrices they do not.
UNRELATED = 0.02


@dataclass(frozen=True)
class Spread:
    """Least, median and largest of a quantity over the features."""

    least: float
    median: float
    largest: float

    def __str__(self) -> str:
        return f"{self.least:.3g} to {self.largest:.3g}, median {self.median:.3g}"


@dataclass(frozen=True)
class Inspection:
    """An SAE and numbers over its features. alignment: cosines of encoder and decoder, None for a transcoder."""

    file: Path
    sae: Sae
    dtype: str
    decoder_norms: Spread
    encoder_norms: Spread
    n_zero_rows: int
    alignment: Spread | None
    thresholds: Spread | None
    warnings: list[str]


def inspect(path: Path, stated: Description | None = None) -> Inspection:
    """Raises Invalid naming what is wrong: found, opened, and looked over. No model is needed."""
    found = formats.find(path)
    sae = formats.load(found.files.weights, stated)
    dtype = str(sae.decoder.dtype).removeprefix("torch.")
    wide = sae.to("cpu", torch.float32)
    decoder_norms, encoder_norms = wide.decoder.norm(dim=1), wide.encoder.norm(dim=0)
    alignment = None
    if sae.d_in == sae.d_out and not sae.transcoder:
        products = (wide.encoder.T * wide.decoder).sum(dim=1)
        alignment = products / (encoder_norms * decoder_norms).clamp(min=ZERO_NORM)
    thresholds = wide.nonlinearity.threshold if isinstance(wide.nonlinearity, JumpRelu) else None
    n_zero = int((decoder_norms < ZERO_NORM).sum())
    return Inspection(
        file=found.files.weights,
        sae=sae,
        dtype=dtype,
        decoder_norms=_spread(decoder_norms),
        encoder_norms=_spread(encoder_norms),
        n_zero_rows=n_zero,
        alignment=None if alignment is None else _spread(alignment),
        thresholds=None if thresholds is None else _spread(thresholds),
        warnings=list(_warnings(sae, n_zero, alignment)),
    )


def _warnings(sae: Sae, n_zero: int, alignment: Tensor | None) -> list[str]:
    said = []
    if n_zero:
        said.append(f"{n_zero:,} of {sae.n_features:,} features have a decoder row of zeros: they cannot matter.")
    if alignment is not None and abs(float(alignment.median())) < UNRELATED:
        said.append("encoder and decoder point in unrelated directions: an untrained SAE, or a matrix read askew.")
    if sae.normalisation == "expected_average_only_in":
        said.append("the input's average scale (norm_scaling_factor) is not in these files: a published name has it.")
    if sae.hook_point is None:
        said.append("the files do not say which hook point it reads: give --hook to index.")
    if isinstance(sae.nonlinearity, AbsTopK):
        said.append("features fire in both directions, and an index shows the positive side alone.")
    return said


def _spread(values: Tensor) -> Spread:
    return Spread(float(values.min()), float(values.median()), float(values.max()))
