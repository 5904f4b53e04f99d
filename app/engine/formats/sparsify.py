"""EleutherAI's sparsify: cfg.json and sae.safetensors in a folder named for its module. Checked with eai-sparsify 1.3.

encoder.weight: (n_features, d_in), encoder.bias, W_dec: (n_features, d_in), b_dec, W_skip: (d_in, d_in) or none.
The input loses b_dec, except in a transcoder. The k largest relu(p) of a token are kept, or the largest of k groups.
"""

import re
from collections.abc import Mapping

from app.engine.formats.files import SaeFiles
from app.engine.nonlinearities import GroupMax, TopK
from app.engine.sae import Sae

NAME = "sparsify"
CONFIG = "cfg.json"
RUN_CONFIG = "config.json"  # of the whole run, one folder up
_LAYER = re.compile(r"(?:layers|h)\.(\d+)(?:\.(mlp|attn|self_attn|attention))?$")
# A module's output and, for a transcoder, its input; an attention's input has no hook point's name.
_OUTPUTS = {None: "hook_resid_post", "mlp": "hook_mlp_out"} | dict.fromkeys(
    ("attn", "self_attn", "attention"), "hook_attn_out"
)
_INPUTS = {None: "hook_resid_pre", "mlp": "mlp.hook_in"}


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
    module = files.folder.resolve().name
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
        hook_point=_hook_point(module, _INPUTS if transcoder else _OUTPUTS),
        hook_point_out=_hook_point(module, _OUTPUTS) if transcoder else None,
        model_name=run.text("model"),
        context=run.whole("ctx_len"),
        l0=float(k),
    )


def _hook_point(module: str, sites: Mapping[str | None, str]) -> str | None:
    """layers.5 writes the stream after block 5, layers.5.mlp its MLP's output; None for other modules."""
    match = _LAYER.search(module)
    return f"blocks.{match[1]}.{sites[match[2]]}" if match and match[2] in sites else None
