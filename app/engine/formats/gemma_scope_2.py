"""Gemma Scope 2: params.safetensors and config.json, JumpReLU, also transcoders with an affine skip connection.

w_enc: (d_in, n_features), w_dec: (n_features, d_out), b_enc, b_dec, threshold, affine_skip_connection: (d_in, d_out).
The input does not lose b_dec. config.json names hook points as Hugging Face modules (model.layers.7.output).
"""

import re

from app.engine.formats.files import SaeFiles
from app.engine.nonlinearities import JumpRelu
from app.engine.sae import Sae
from app.errors import Invalid

NAME = "Gemma Scope 2"
CONFIG = "config.json"
_LAYER = re.compile(r"(?:model\.)?(?:language_model\.)?layers\.(\d+)\.(.+)")
# Gemma 3 norms a module's output before it is added, and that is what hook_mlp_out reads in Gemma models. What a
# transcoder reads, the norm before the MLP with its weights, is no TransformerLens name (ln2.hook_normalized has none).
_SITES = {
    "output": "hook_resid_post",
    "self_attn.o_proj.input": "attn.hook_z",
    "pre_feedforward_layernorm.output": "mlp.hook_in",
    "post_feedforward_layernorm.output": "hook_mlp_out",
}


def holds(files: SaeFiles) -> bool:
    return files.has("w_enc", "w_dec", "b_enc", "b_dec", "threshold")


def load(files: SaeFiles) -> Sae:
    """Raises Invalid naming the file, and the tensor or the key that is wrong."""
    config = files.settings(CONFIG)
    config.one_of("architecture", ("jump_relu",), "jump_relu")
    decoder = files.take("w_dec", None, None)
    n_features, d_out = decoder.shape
    encoder = files.take("w_enc", None, n_features)
    skip = None
    if files.has("affine_skip_connection"):
        skip = files.take("affine_skip_connection", encoder.shape[0], d_out)
    elif config.flag("affine_connection"):
        raise Invalid(f"{files.weights} has no affine_skip_connection, and {CONFIG} says that there is one.")
    read, written = config.text("hf_hook_point_in"), config.text("hf_hook_point_out")
    transcoder = skip is not None or (written is not None and written != read)
    if encoder.shape[0] != d_out and not transcoder:
        raise Invalid(f"{files.weights}: w_enc reads {encoder.shape[0]} numbers and w_dec writes {d_out}.")
    return Sae(
        format=NAME,
        architecture=("jumprelu_skip_transcoder" if skip is not None else "jumprelu_transcoder")
        if transcoder
        else "jumprelu",
        encoder=encoder,
        encoder_bias=files.take("b_enc", n_features),
        decoder=decoder,
        decoder_bias=files.take("b_dec", d_out),
        nonlinearity=JumpRelu(files.take("threshold", n_features)),
        skip=skip,
        transcoder=transcoder,
        hook_point=_hook_point(read),
        hook_point_out=_hook_point(written) if transcoder else None,
        model_name=_model_name(config.text("model_name")),
        prepend_bos=True,
        l0=config.number("l0"),
    )


def _hook_point(module: str | None) -> str | None:
    """Their name of a module's input or output as a hook point: by its site, else by the module's path."""
    if module is None:
        return None
    match = _LAYER.fullmatch(module)
    site = _SITES.get(match[2]) if match else None
    if match and site:
        return f"blocks.{match[1]}.{site}"
    return module.removesuffix(".output") if module.endswith(".output") else re.sub(r"\.input$", ":input", module)


def _model_name(stated: str | None) -> str | None:
    """`gemma-v3-1b-pt` as the hub writes it: google/gemma-3-1b-pt."""
    if stated is None:
        return None
    name = stated.replace("-v3", "-3")
    return name if "/" in name else f"google/{name}"
