"""EleutherAI's sparsify: cfg.json and sae.safetensors in a folder named for its module. Checked with eai-sparsify 1.3.

encoder.weight: (n_features, d_in), encoder.bias, W_dec: (n_features, d_in), b_dec, W_skip: (d_in, d_in) or none.
The input loses b_dec, except in a transcoder. The k largest relu(p) of a token are kept, or the largest of k groups.
"""

import re

from app.engine.formats.files import SaeFiles
from app.engine.nonlinearities import GroupMax, TopK
from app.engine.sae import Sae

NAME = "sparsify"
CONFIG = "cfg.json"
RUN_CONFIG = "config.json"  # of the whole run, one folder up
_LAYER = re.compile(r"(?:layers|h)\.(\d+)(?:\.(mlp|attn|self_attn|attention))?$")
_SITES = {None: "resid_post", "mlp": "mlp_out", "attn": "attn_out", "self_attn": "attn_out", "attention": "attn_out"}


def holds(files: SaeFiles) -> bool:
    return files.has("encoder.weight", "W_dec", "b_dec")


def load(files: SaeFiles) -> Sae:
    """Raises Invalid naming the file, and the tensor or the key that is wrong."""
    config = files.settings(CONFIG)
    if not config:
        raise config.refused("it is missing, and nothing else says how many features a token has (k).")
    encoder = files.take("encoder.weight", None, None)
    n_features, d_in = encoder.shape
    transcoder, skips = bool(config.flag("transcode")), bool(config.flag("skip_connection"))
    if config.flag("signed"):
        raise config.refused("`signed` SAEs, of sparsify before 1.0, keep negative activations; they are not read.")
    activation = config.one_of("activation", ("topk", "groupmax"), "topk")
    k = files.top_k(config, config.whole("k"), n_features)
    if activation == "groupmax" and n_features % k:
        raise config.refused(f"groupmax needs equal groups: {n_features} features are no multiple of k = {k}.")
    files.agree(config, d_in=d_in)
    if config.whole("num_latents"):
        files.agree(config, num_latents=n_features)
    run = files.settings(RUN_CONFIG, above=True)
    bias = files.take("b_dec", d_in)
    hook = _hook_point(files.folder.resolve().name)
    return Sae(
        format=NAME,
        architecture=("skip_" if skips else "") + ("transcoder" if transcoder else activation),
        encoder=encoder.T,
        encoder_bias=files.take("encoder.bias", n_features),
        decoder=files.take("W_dec", n_features, d_in),
        decoder_bias=bias,
        nonlinearity=TopK(k) if activation == "topk" else GroupMax(k),
        centre=None if transcoder else bias,
        skip=files.take("W_skip", d_in, d_in).T if skips else None,
        transcoder=transcoder,
        # A transcoder reads what its module reads, which has no name of its own here; the command line gives it.
        hook_point=None if transcoder else hook,
        hook_point_out=hook if transcoder else None,
        model_name=run.text("model"),
        context=run.whole("ctx_len"),
        l0=float(k),
    )


def _hook_point(module: str) -> str | None:
    """layers.5 writes the stream after block 5, layers.5.mlp its MLP's output; None for other modules."""
    match = _LAYER.search(module)
    return f"blocks.{match[1]}.hook_{_SITES[match[2]]}" if match else None
