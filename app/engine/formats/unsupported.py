"""Kinds of SAE that are known and cannot be run here: refused by their names, with the reason."""

from app.engine.formats.files import SaeFiles
from app.errors import Invalid

TEMPORAL = (
    "a temporal SAE reads a whole sequence through attention layers of its own, and features here belong to one token"
)
CROSSCODER = "a crosscoder reads several layers or models at once, and one hook point is read here"
CROSS_LAYER = (
    "a cross-layer transcoder writes into every later layer, and features here write at one hook point; "
    "a transcoder of one layer can be opened"
)


def refuse_unsupported(files: SaeFiles) -> None:
    """Raises Invalid for a kind that must not be mistaken for a plain SAE."""
    for kind, why in _reasons(files):
        if kind:
            raise Invalid(f"{files.weights}: {why}.")


def _reasons(files: SaeFiles) -> tuple[tuple[bool, str], ...]:
    temporal = any(name.startswith("attn_layers.") for name in files.tensors)
    weights = {name: tensor for name, tensor in files.tensors.items() if tensor.ndim == 3}
    encoder = any("enc" in name.lower() for name in weights)
    decoder = any("dec" in name.lower() for name in weights)
    layered = any(name.startswith(("W_enc_", "W_dec_")) for name in files.tensors)
    return (
        (temporal, TEMPORAL),
        (encoder, CROSSCODER),
        ((decoder and not encoder) or layered, CROSS_LAYER),
    )
