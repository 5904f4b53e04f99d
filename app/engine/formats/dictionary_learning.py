"""dictionary_learning: config.json and ae.pt. Checked with dictionary-learning 0.1.

Linear layers (encoder.weight: (n_features, d_in), decoder.weight: (d_in, n_features)) or, in JumpReluAutoEncoder and
MatryoshkaBatchTopKSAE, W_enc: (d_in, n_features) and W_dec: (n_features, d_in). All but AutoEncoderNew and
JumpReluAutoEncoder take the decoder's bias from the input.
"""

from torch import Tensor

from app.engine.formats.files import SaeFiles, Settings
from app.engine.nonlinearities import JumpRelu, Nonlinearity, Relu, TopK, gated
from app.engine.sae import Sae

NAME = "dictionary_learning"
CONFIG = "config.json"
_CLASSES = {
    "AutoEncoder": "standard",
    "AutoEncoderNew": "standard",
    "GatedAutoEncoder": "gated",
    "JumpReluAutoEncoder": "jumprelu",
    "AutoEncoderTopK": "topk",
    "BatchTopKSAE": "batchtopk",
    "MatryoshkaBatchTopKSAE": "matryoshka_batchtopk",
}


def holds(files: SaeFiles) -> bool:
    # Without config.json a gated one alone can be told: the others' tensors do not say how they encode.
    if "dict_class" in _trainer(files):
        return "encoder.weight" in files.tensors or "W_enc" in files.tensors
    return files.has("encoder.weight", "decoder.weight", "gate_bias", "mag_bias")


def load(files: SaeFiles) -> Sae:
    """Raises Invalid naming the file, and the tensor or the key that is wrong."""
    trainer = _trainer(files)
    kind = trainer.one_of("dict_class", _CLASSES, "GatedAutoEncoder")
    encoder, decoder = _matrices(files)
    d_in, n_features = encoder.shape
    files.agree(trainer, activation_dim=d_in, dict_size=n_features)
    bias = files.take(_decoder_bias(kind), d_in)
    k = _k(files, trainer, n_features) if kind.endswith(("TopK", "TopKSAE")) else None
    layer = trainer.whole("layer")
    whole_block = (trainer.text("submodule_name") or "resid_post").startswith("resid_post")
    made = Sae(
        format=NAME,
        architecture=_CLASSES[kind],
        encoder=encoder,
        encoder_bias=_encoder_bias(files, kind, n_features),
        decoder=decoder,
        decoder_bias=bias,
        nonlinearity=_nonlinearity(files, kind, k, n_features),
        centre=None if kind in ("AutoEncoderNew", "JumpReluAutoEncoder") else bias,
        # The library trains on the output of whole blocks unless submodule_name says otherwise.
        hook_point=f"blocks.{layer}.hook_resid_post" if layer is not None and whole_block else None,
        model_name=trainer.text("lm_name"),
        context=files.settings(CONFIG).part("buffer").whole("ctx_len"),
        l0=float(k) if k is not None else None,
    )
    # Its from_pretrained normalises the decoder of this class unless told not to, so activations carry the norm.
    return made.with_unit_decoder() if kind == "AutoEncoder" else made


def _nonlinearity(files: SaeFiles, kind: str, k: int | None, n_features: int) -> Nonlinearity:
    if kind == "GatedAutoEncoder":
        return gated(*(files.take(name, n_features) for name in ("gate_bias", "mag_bias", "r_mag")))
    if kind == "JumpReluAutoEncoder":
        return JumpRelu(files.take("threshold", n_features))
    if kind == "AutoEncoderTopK":
        assert k is not None
        return TopK(k)  # it saves a threshold too, which its encode leaves aside
    if kind in ("BatchTopKSAE", "MatryoshkaBatchTopKSAE"):
        # Compared with relu(p); below 0 (never set) it lets every positive p through, as the library does.
        return JumpRelu(files.take("threshold").float().expand(n_features).clone())
    return Relu()


def _matrices(files: SaeFiles) -> tuple[Tensor, Tensor]:
    """(d_in, n_features) and (n_features, d_in)."""
    if files.has("W_enc"):
        encoder = files.take("W_enc", None, None)
        return encoder, files.take("W_dec", encoder.shape[1], encoder.shape[0])
    weight = files.take("encoder.weight", None, None)
    return weight.T, files.take("decoder.weight", weight.shape[1], weight.shape[0]).T


def _decoder_bias(kind: str) -> str:
    if kind == "AutoEncoder":
        return "bias"
    if kind == "AutoEncoderNew":
        return "decoder.bias"
    return "decoder_bias" if kind == "GatedAutoEncoder" else "b_dec"


def _encoder_bias(files: SaeFiles, kind: str, n_features: int) -> Tensor:
    if kind == "GatedAutoEncoder":
        return files.take("gate_bias", n_features)
    return files.take("b_enc" if files.has("W_enc") else "encoder.bias", n_features)


def _k(files: SaeFiles, trainer: Settings, n_features: int) -> int:
    stored = files.tensors.get("k")
    if stored is not None and stored.numel() == 1:
        files.agree(trainer, k=int(stored))
        return files.top_k(trainer, int(stored), n_features)
    return files.top_k(trainer, trainer.whole("k"), n_features)


def _trainer(files: SaeFiles) -> Settings:
    return files.settings(CONFIG).part("trainer")
