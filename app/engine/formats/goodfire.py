"""Goodfire's Llama SAEs: a .pth or .pt with encoder_linear and decoder_linear, ReLU, the input not centred.

encoder_linear.weight: (n_features, d_in), decoder_linear.weight: (d_in, n_features), a bias each. The file's name
has model and layer (Llama-3.1-8B-Instruct-SAE-l19.pth).
"""

import re

from app.engine.formats.files import SaeFiles
from app.engine.nonlinearities import Relu
from app.engine.sae import Sae

NAME = "Goodfire"
_FILE = re.compile(r"(Llama-[\w.-]+)-SAE-l(\d+)$")


def holds(files: SaeFiles) -> bool:
    return files.has("encoder_linear.weight", "decoder_linear.weight")


def load(files: SaeFiles) -> Sae:
    """Raises Invalid naming the file, and the tensor that is wrong."""
    encoder = files.take("encoder_linear.weight", None, None)
    n_features, d_in = encoder.shape
    named = _FILE.search(files.weights.stem)
    return Sae(
        format=NAME,
        architecture="standard",
        encoder=encoder.T,
        encoder_bias=files.take("encoder_linear.bias", n_features),
        decoder=files.take("decoder_linear.weight", d_in, n_features).T,
        decoder_bias=files.take("decoder_linear.bias", d_in),
        nonlinearity=Relu(),
        hook_point=f"blocks.{named[2]}.hook_resid_post" if named else None,
        model_name=f"meta-llama/{named[1]}" if named else None,
    )
