"""Gemma Scope 1: params.npz, JumpReLU. Lieberum et al. 2024, arXiv 2408.05147.

W_enc: (d_in, n_features), W_dec: (n_features, d_out), b_enc, b_dec, threshold. The input does not lose b_dec. The files
name neither model nor hook; the folders of the release do (gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71).
"""

import re
from pathlib import Path

from app.engine.formats.files import SaeFiles
from app.engine.nonlinearities import JumpRelu
from app.engine.sae import Sae
from app.errors import Invalid

NAME = "Gemma Scope"
_RELEASE = re.compile(r"gemma-scope-(\d+b)-(pt|it)-(res|mlp|att|transcoders)")
_SITES = {"res": "hook_resid_post", "mlp": "hook_mlp_out", "att": "attn.hook_z"}


def holds(files: SaeFiles) -> bool:
    return files.weights.suffix == ".npz" and files.has("W_enc", "W_dec", "b_enc", "b_dec", "threshold")


def load(files: SaeFiles) -> Sae:
    """Raises Invalid naming the file, and the tensor that is wrong."""
    decoder = files.take("W_dec", None, None)
    n_features, d_out = decoder.shape
    encoder = files.take("W_enc", None, n_features)
    where = _where(files.weights)
    if encoder.shape[0] != d_out and not where.transcoder:
        raise Invalid(f"{files.weights}: W_enc reads {encoder.shape[0]} numbers and W_dec writes {d_out}.")
    if where.embedding:
        # Trained on embeddings as they lie in the model's file; the stream holds them times sqrt(d_model).
        factor = encoder.shape[0] ** 0.5
        encoder, decoder = encoder / factor, decoder * factor
    return Sae(
        format=NAME,
        architecture="jumprelu_transcoder" if where.transcoder else "jumprelu",
        encoder=encoder,
        encoder_bias=files.take("b_enc", n_features),
        decoder=decoder,
        decoder_bias=files.take("b_dec", d_out),
        nonlinearity=JumpRelu(files.take("threshold", n_features)),
        transcoder=where.transcoder,
        hook_point=where.hook_point,
        hook_point_out=where.hook_point_out,
        model_name=where.model_name,
        prepend_bos=True,  # the paper's section 3: BOS is read, and its activations left out
        l0=where.l0,
    )


class _where:
    """What the folders above the file say, where they are named as in the release; None where not."""

    def __init__(self, file: Path) -> None:
        path = str(file.absolute())
        release, layer = _RELEASE.search(path), re.search(r"layer_(\d+)", path)
        l0 = re.search(r"average_l0_(\d+)", path)
        self.embedding = "/embedding/" in path
        self.transcoder = release is not None and release[3] == "transcoders"
        self.l0 = float(l0[1]) if l0 else None
        self.model_name = f"google/gemma-2-{release[1]}" + ("-it" if release[2] == "it" else "") if release else None
        self.hook_point = self.hook_point_out = None
        if self.embedding:
            self.hook_point = "blocks.0.hook_resid_pre"
        elif release and layer and self.transcoder:
            self.hook_point = f"blocks.{layer[1]}.ln2.hook_normalized"
            self.hook_point_out = f"blocks.{layer[1]}.hook_mlp_out"
        elif release and layer:
            self.hook_point = f"blocks.{layer[1]}.{_SITES[release[3]]}"
