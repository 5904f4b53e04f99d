"""OpenAI's sparse_autoencoder: a .pt state_dict, ReLU or TopK. Gao et al. 2024, arXiv 2406.04093.

pre_bias: (d_in,), encoder.weight: (n_features, d_in), latent_bias: (n_features,), decoder.weight: (d_in, n_features),
activation (absent: ReLU), activation_state_dict. Only TopK normalises the input (layer_norm); all lose pre_bias.
"""

from app.engine.formats.files import SaeFiles, Settings
from app.engine.nonlinearities import Nonlinearity, Relu, TopK
from app.engine.sae import Sae
from app.errors import Invalid

NAME = "OpenAI"


def holds(files: SaeFiles) -> bool:
    return files.has("pre_bias", "encoder.weight", "latent_bias")


def load(files: SaeFiles) -> Sae:
    """Raises Invalid naming the file, and the tensor or the value that is wrong."""
    encoder = files.take("encoder.weight", None, None)
    n_features, d_in = encoder.shape
    bias = files.take("pre_bias", d_in)
    # Tied ones store the encoder a second time, as decoder.linear.weight.
    tied = not files.has("decoder.weight") and files.has("decoder.linear.weight")
    decoder = files.take("decoder.linear.weight", n_features, d_in) if tied else None
    nonlinearity = _nonlinearity(files, n_features)
    return Sae(
        format=NAME,
        architecture="topk" if isinstance(nonlinearity, TopK) else "standard",
        encoder=encoder.T,
        encoder_bias=files.take("latent_bias", n_features),
        decoder=decoder if decoder is not None else files.take("decoder.weight", d_in, n_features).T,
        decoder_bias=bias,
        nonlinearity=nonlinearity,
        centre=bias,
        normalisation="layer_norm" if isinstance(nonlinearity, TopK) else "none",
        l0=float(nonlinearity.k) if isinstance(nonlinearity, TopK) else None,
    )


def _nonlinearity(files: SaeFiles, n_features: int) -> Nonlinearity:
    name = files.extras.get("activation", "ReLU")
    if name == "ReLU":
        return Relu()
    if name != "TopK":
        raise Invalid(f"{files.weights}: the activation {name!r} is not known; these are: ReLU, TopK.")
    state = Settings(files.weights, files.extras).part("activation_state_dict")
    state.one_of("postact_fn", ("ReLU",), "ReLU")
    return TopK(files.top_k(state, state.whole("k"), n_features))
