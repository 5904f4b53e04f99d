"""Qwen Scope: layerN.sae.pt, TopK over the stream after block N. W_enc: (n_features, d_in), W_dec: (d_in, n_features).

The input does not lose b_dec. Neither k nor the model is in the file; the release's name has both
(SAE-Res-Qwen3-1.7B-Base-W32K-L0_50), and so has the hub's cache. Elsewhere they are described as for plain tensors.
"""

import re

from app.engine.formats.files import SaeFiles
from app.engine.nonlinearities import TopK
from app.engine.sae import Sae

NAME = "Qwen Scope"
_RELEASE = re.compile(r"SAE-Res-(Qwen[\w.-]+?)-W(\d+)K-L0_(\d+)")
_LAYER = re.compile(r"layer(\d+)\.sae$")


def holds(files: SaeFiles) -> bool:
    if not files.has("W_enc", "W_dec", "b_enc", "b_dec") or _RELEASE.search(str(files.weights.absolute())) is None:
        return False
    wide = files.tensors["W_enc"].shape
    return wide == files.tensors["W_dec"].T.shape and wide[0] == len(files.tensors["b_enc"])


def load(files: SaeFiles) -> Sae:
    """Raises Invalid naming the file, and the tensor that is wrong."""
    release, layer = _RELEASE.search(str(files.weights.absolute())), _LAYER.search(files.weights.stem)
    assert release is not None, "holds() asked for it"
    encoder = files.take("W_enc", None, None)
    n_features, d_in = encoder.shape
    return Sae(
        format=NAME,
        architecture="topk",
        encoder=encoder.T,
        encoder_bias=files.take("b_enc", n_features),
        decoder=files.take("W_dec", d_in, n_features).T,
        decoder_bias=files.take("b_dec", d_in),
        nonlinearity=TopK(int(release[3])),
        hook_point=f"blocks.{layer[1]}.hook_resid_post" if layer else None,
        model_name=f"Qwen/{release[1]}",
        l0=float(release[3]),
    )
