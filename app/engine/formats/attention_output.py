"""Kissane and Krzyzanowski's attention SAEs of GPT-2: NAME.pt and NAME_cfg.json. arXiv 2406.17759.

W_enc: (d_in, n_features), W_dec: (n_features, d_in), b_enc, b_dec. ReLU over hook_z with its heads side by side; the
input loses b_dec.
"""

from app.engine.formats.files import SaeFiles
from app.engine.nonlinearities import Relu
from app.engine.sae import Sae

NAME = "attention output"


def _config(files: SaeFiles) -> str:
    return f"{files.weights.stem}_cfg.json"


def holds(files: SaeFiles) -> bool:
    return files.has("W_enc", "W_dec", "b_enc", "b_dec") and "act_size" in files.settings(_config(files))


def load(files: SaeFiles) -> Sae:
    """Raises Invalid naming the file, and the tensor or the key that is wrong."""
    config = files.settings(_config(files))
    encoder = files.take("W_enc", None, None)
    d_in, n_features = encoder.shape
    files.agree(config, act_size=d_in, dict_size=n_features)
    bias = files.take("b_dec", d_in)
    return Sae(
        format=NAME,
        architecture="standard",
        encoder=encoder,
        encoder_bias=files.take("b_enc", n_features),
        decoder=files.take("W_dec", n_features, d_in),
        decoder_bias=bias,
        nonlinearity=Relu(),
        centre=bias,
        hook_point=config.text("act_name"),
        model_name="gpt2",
        prepend_bos=True,
        context=128,
    )
