"""Plain tensors under the usual names, .safetensors, .npz or .pt, with a description beside them.

Tensors alone do not say which nonlinearity they were trained with, nor whether the input loses b_dec, and a guess would
give wrong activations in silence. So WEIGHTS.json, beside the file WEIGHTS, says it; `featurescope inspect WEIGHTS
--activation topk --k 32 --centre-input no --write` writes it.
"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from app.engine.formats.files import SaeFiles, Settings
from app.engine.nonlinearities import AbsTopK, JumpRelu, Nonlinearity, Relu, TopK
from app.engine.sae import NORMALISATIONS, Sae
from app.errors import Invalid

NAME = "plain tensors"
ACTIVATIONS = ("relu", "jumprelu", "topk", "abstopk")
ENCODER = ("W_enc", "w_enc", "encoder.weight", "enc.weight", "encoder_linear.weight", "encoder", "W_E")
DECODER = ("W_dec", "w_dec", "decoder.weight", "dec.weight", "decoder_linear.weight", "decoder", "W_D")
ENCODER_BIAS = ("b_enc", "encoder.bias", "enc.bias", "encoder_bias", "latent_bias", "b_E")
DECODER_BIAS = ("b_dec", "decoder.bias", "dec.bias", "decoder_bias", "pre_bias", "bias", "b_D")
SKIP = ("W_skip", "skip", "affine_skip_connection")


@dataclass(frozen=True)
class Description:
    """What tensors do not say. threshold: one for all features, where there is no tensor `threshold`."""

    activation: str
    centre_input: bool
    k: int | None = None
    threshold: float | None = None
    normalisation: str = "none"
    hook_point: str | None = None
    hook_point_out: str | None = None
    model: str | None = None
    prepend_bos: bool | None = None
    context: int | None = None


def holds(files: SaeFiles) -> bool:
    return any(name in files.tensors for name in ENCODER) and any(name in files.tensors for name in DECODER)


def load(files: SaeFiles) -> Sae:
    """Raises Invalid naming the file, and the tensor or the key that is wrong or missing."""
    stated = _description(files)
    encoder_bias, decoder_bias = _find(files, ENCODER_BIAS), _find(files, DECODER_BIAS)
    encoder = _oriented(files, ENCODER, encoder_bias, decoder_bias, encodes=True)
    d_in, n_features = encoder.shape
    decoder = _oriented(files, DECODER, encoder_bias, decoder_bias, encodes=False)
    if decoder.shape[0] != n_features:
        raise Invalid(f"{files.weights}: the encoder gives {n_features} features and the decoder reads another number.")
    d_out = decoder.shape[1]
    transcoder = stated.hook_point_out is not None
    if d_in != d_out and not transcoder:
        raise Invalid(
            f"{files.weights}: it reads {d_in} numbers and writes {d_out}, as a transcoder does: "
            "say where it writes (hook_point_out)."
        )
    bias = files.take(decoder_bias, d_out) if decoder_bias else torch.zeros(d_out)
    skip = _find(files, SKIP)
    return Sae(
        format=NAME,
        architecture=stated.activation + ("_transcoder" if transcoder else ""),
        encoder=encoder,
        encoder_bias=files.take(encoder_bias, n_features) if encoder_bias else torch.zeros(n_features),
        decoder=decoder,
        decoder_bias=bias,
        nonlinearity=_nonlinearity(files, stated, n_features),
        centre=bias if stated.centre_input else None,
        skip=_skip(files, skip, d_in, d_out) if skip else None,
        transcoder=transcoder,
        normalisation=stated.normalisation,
        hook_point=stated.hook_point,
        hook_point_out=stated.hook_point_out,
        model_name=stated.model,
        prepend_bos=stated.prepend_bos,
        context=stated.context,
        l0=float(stated.k) if stated.k else None,
    )


def description_file(weights: Path) -> Path:
    return weights.with_name(weights.name + ".json")


def write_description(weights: Path, stated: Description) -> Path:
    """Beside the weights; gives the path."""
    file = description_file(weights)
    held = {key: value for key, value in asdict(stated).items() if value is not None}
    file.write_text(json.dumps(held, indent=2) + "\n", encoding="utf-8")
    return file


def check_description(settings: Settings) -> Description:
    """Raises Invalid for a key or value that is not known."""
    known = {field.name for field in fields(Description)}
    for key in settings.held:
        if key not in known:
            raise settings.refused(f"{key!r} is not known; these are: {', '.join(sorted(known))}.")
    if "activation" not in settings or "centre_input" not in settings:
        raise settings.refused("activation and centre_input (whether the input loses the decoder's bias) must be said.")
    described = Description(
        activation=settings.one_of("activation", ACTIVATIONS, ""),
        centre_input=bool(settings.flag("centre_input")),
        k=settings.whole("k"),
        threshold=settings.number("threshold"),
        normalisation=settings.one_of("normalisation", NORMALISATIONS, "none"),
        hook_point=settings.text("hook_point"),
        hook_point_out=settings.text("hook_point_out"),
        model=settings.text("model"),
        prepend_bos=settings.flag("prepend_bos"),
        context=settings.whole("context"),
    )
    if described.activation.endswith("topk") != (described.k is not None):
        raise settings.refused(f"{described.activation} {'needs' if described.k is None else 'takes no'} k.")
    return described


def _description(files: SaeFiles) -> Description:
    if files.stated is not None:
        return files.stated
    file = description_file(files.weights)
    settings = files.settings(file.name)
    if not settings:
        raise Invalid(
            f"{files.weights} holds an SAE's tensors, but nothing says which nonlinearity it has and whether the input "
            f"loses the decoder's bias. If a library saved it, its settings are missing (cfg.json, config.json). Else "
            f"describe it once: featurescope inspect {files.weights} --activation {{{','.join(ACTIVATIONS)}}} "
            f"--centre-input {{yes,no}} [--k K] [--hook HOOK] --write"
        )
    return check_description(settings)


def _nonlinearity(files: SaeFiles, stated: Description, n_features: int) -> Nonlinearity:
    if stated.activation in ("topk", "abstopk"):
        k = stated.k or 0
        if not 1 <= k <= n_features:
            raise Invalid(f"{description_file(files.weights)}: k = {k} cannot be with {n_features} features.")
        return TopK(k) if stated.activation == "topk" else AbsTopK(k)
    if stated.activation == "jumprelu":
        if files.has("threshold"):
            threshold = files.tensors["threshold"]
            return JumpRelu(files.take("threshold", *([n_features] if threshold.ndim else [])).expand(n_features))
        if stated.threshold is None:
            raise Invalid(f"{files.weights} has no tensor threshold, and its description gives none either.")
        return JumpRelu(torch.full((n_features,), float(stated.threshold)))
    if files.has("threshold"):
        raise Invalid(f"{files.weights} holds a threshold, and its description says {stated.activation}.")
    return Relu()


def _find(files: SaeFiles, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in files.tensors), None)


def _oriented(
    files: SaeFiles, names: tuple[str, ...], encoder_bias: str | None, decoder_bias: str | None, *, encodes: bool
) -> Tensor:
    """The matrix as (in, out). The biases' lengths tell which way it lies; for a square one, nn.Linear's names do."""
    name = _find(files, names)
    assert name is not None, "holds() asked for it"
    matrix = files.take(name, None, None)
    own, other = (encoder_bias, decoder_bias) if encodes else (decoder_bias, encoder_bias)
    n_out = len(files.tensors[own]) if own else None
    n_in = len(files.tensors[other]) if other else None
    straight = n_out in (None, matrix.shape[1]) and (n_out is not None or n_in in (None, matrix.shape[0]))
    turned = n_out in (None, matrix.shape[0]) and (n_out is not None or n_in in (None, matrix.shape[1]))
    if not straight and not turned:
        raise Invalid(
            f"{files.weights}: {name} has shape {tuple(matrix.shape)}, and {own or other} has another length."
        )
    if straight and turned:  # square, or without biases
        linear = name.endswith(".weight")
        if own is None and other is None and matrix.shape[0] != matrix.shape[1]:
            # An SAE has more features than inputs.
            linear = (matrix.shape[0] > matrix.shape[1]) == encodes
        return matrix.T if linear else matrix
    return matrix if straight else matrix.T


def _skip(files: SaeFiles, name: str, d_in: int, d_out: int) -> Tensor:
    # SAELens and sparsify store (d_out, d_in), Gemma Scope 2 (d_in, d_out).
    return files.take(name, d_in, d_out) if name == "affine_skip_connection" else files.take(name, d_out, d_in).T
