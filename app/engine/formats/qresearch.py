"""qresearch's SAE of DeepSeek R1 Distill: DeepSeek-R1-Distill-Llama-8B-SAE-l19.pt, ReLU, the input not centred.

encoder.weight: (n_features, d_in), decoder.weight: (d_in, n_features), a bias each: what any two linear layers hold, so
that the file's name, which has model and layer, is asked for too.
"""

import re

from app.engine.formats.files import SaeFiles
from app.engine.nonlinearities import Relu
from app.engine.sae import Sae

NAME = "qresearch"
_FILE = re.compile(r"(DeepSeek-R1-[\w.-]+)-SAE-l(\d+)$")


def holds(files: SaeFiles) -> bool:
    linear = files.has("encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias")
    return linear and _FILE.search(files.weights.stem) is not None


def load(files: SaeFiles) -> Sae:
    """Raises Invalid naming the file, and the tensor that is wrong."""
    encoder = files.take("encoder.weight", None, None)
    n_features, d_in = encoder.shape
    named = _FILE.search(files.weights.stem)
    assert named is not None, "holds() asked for it"
    return Sae(
        format=NAME,
        architecture="standard",
        encoder=encoder.T,
        encoder_bias=files.take("encoder.bias", n_features),
        decoder=files.take("decoder.weight", d_in, n_features).T,
        decoder_bias=files.take("decoder.bias", d_in),
        nonlinearity=Relu(),
        hook_point=f"blocks.{named[2]}.hook_resid_post",
        model_name=f"deepseek-ai/{named[1]}",
    )
