"""circuit-tracer's transcoders of one layer each: layer_N.safetensors, ReLU, with the set's config.yaml beside them.

W_enc: (n_features, d_in), W_dec: (n_features, d_out), b_enc, b_dec, W_skip: (d_out, d_in) or none. The input is not
centred. config.yaml names the model and the hook points of a block; without it they are the MLP's input and output.
"""

import re

from app.engine.formats.files import SaeFiles
from app.engine.nonlinearities import Relu
from app.engine.sae import Sae

NAME = "circuit-tracer"
CONFIG = "config.yaml"
_LAYER = re.compile(r"layer_(\d+)$")
_KNOWN = {"W_enc", "W_dec", "b_enc", "b_dec", "W_skip"}


def holds(files: SaeFiles) -> bool:
    """By both matrices lying one way: with a threshold or another nonlinearity's tensors it is not this one."""
    if not files.has("W_enc", "W_dec", "b_enc", "b_dec") or not _KNOWN.issuperset(files.tensors):
        return False
    encoder, decoder = files.tensors["W_enc"].shape, files.tensors["W_dec"].shape
    one_way = len(encoder) == len(decoder) == 2 and encoder[0] == decoder[0] == len(files.tensors["b_enc"])
    return one_way and encoder[0] != encoder[1] and _LAYER.search(files.weights.stem) is not None


def load(files: SaeFiles) -> Sae:
    """Raises Invalid naming the file, and the tensor or the key that is wrong."""
    encoder = files.take("W_enc", None, None)
    n_features, d_in = encoder.shape
    decoder = files.take("W_dec", n_features, None)
    d_out = decoder.shape[1]
    skip = files.take("W_skip", d_out, d_in).T if files.has("W_skip") else None
    config = files.settings(CONFIG)
    model = config.text("model_name")
    layer = _LAYER.search(files.weights.stem)
    assert layer is not None, "holds() asked for it"
    block = f"blocks.{layer[1]}"
    written = config.text("feature_output_hook") or "hook_mlp_out"
    if written == "mlp.hook_out":
        # The same place, except in Gemma 2 and 3, which norm the MLP's output before it is added.
        normed = model is not None and "gemma" in model.lower()
        out = f"model.layers.{layer[1]}.mlp" if normed else f"{block}.hook_mlp_out"
    else:
        out = f"{block}.{written}"
    return Sae(
        format=NAME,
        architecture="transcoder" if skip is None else "skip_transcoder",
        encoder=encoder.T,
        encoder_bias=files.take("b_enc", n_features),
        decoder=decoder,
        decoder_bias=files.take("b_dec", d_out),
        nonlinearity=Relu(),
        skip=skip,
        transcoder=True,
        hook_point=f"{block}.{config.text('feature_input_hook') or 'mlp.hook_in'}",
        hook_point_out=out,
        model_name=model,
    )
