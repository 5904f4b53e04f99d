"""SAELens: cfg.json (6.x, and the flat ones from before) and sae_weights.safetensors. Checked against sae-lens 6.54."""

from dataclasses import dataclass

import torch
from torch import Tensor

from app.engine.formats.files import SaeFiles, Settings
from app.engine.formats.unsupported import TEMPORAL
from app.engine.nonlinearities import AbsTopK, JumpRelu, MatchingPursuit, Nonlinearity, Relu, TopK, gated
from app.engine.sae import NORMALISATIONS, Sae
from app.errors import Invalid

NAME = "SAELens"
CONFIG = "cfg.json"
ARCHITECTURES = (
    "standard",
    "gated",
    "jumprelu",
    "topk",
    "abstopk",
    "batchtopk",
    "matryoshka_batchtopk",
    "matching_pursuit",
    "transcoder",
    "skip_transcoder",
    "jumprelu_transcoder",
    "jumprelu_skip_transcoder",
)


def holds(files: SaeFiles) -> bool:
    config = files.settings(CONFIG)
    own = "W_enc" in files.tensors or "W_dec" in files.tensors
    return own and ("d_sae" in config or "architecture" in config)


@dataclass(frozen=True)
class Config:
    """cfg.json in 6.x' terms."""

    settings: Settings
    metadata: Settings
    architecture: str
    normalisation: str
    k: int | None
    centred: bool

    @property
    def transcoder(self) -> bool:
        return "transcoder" in self.architecture


def load(files: SaeFiles) -> Sae:
    """Raises Invalid naming the file, and the tensor or the key that is wrong."""
    config = _config(files)
    decoder = files.take("W_dec", None, None)
    n_features, d_out = decoder.shape
    tied = config.architecture == "matching_pursuit"
    encoder = decoder.T if tied else files.take("W_enc", None, n_features)
    if not config.transcoder and encoder.shape[0] != d_out:
        raise Invalid(f"{files.weights}: W_enc reads {encoder.shape[0]} numbers and W_dec writes {d_out}.")
    files.agree(config.settings, d_in=encoder.shape[0], d_sae=n_features)
    if config.transcoder:
        files.agree(config.settings, d_out=d_out)
    decoder_bias = files.take("b_dec", d_out)
    if tied and not config.centred:
        decoder_bias = torch.zeros_like(decoder_bias)  # SAELens leaves it out on both ways
    metadata = config.metadata
    made = Sae(
        format=NAME,
        architecture=config.architecture,
        encoder=encoder,
        encoder_bias=_encoder_bias(files, config, n_features),
        decoder=decoder,
        decoder_bias=decoder_bias,
        nonlinearity=_nonlinearity(files, config, n_features),
        centre=decoder_bias if config.centred else None,
        skip=files.take("W_skip", d_out, encoder.shape[0]).T if "skip" in config.architecture else None,
        transcoder=config.transcoder,
        normalisation=config.normalisation,
        hook_point=metadata.text("hook_name") or metadata.text("hook_point"),
        hook_point_out=metadata.text("hook_name_out") if config.transcoder else None,
        model_name=metadata.text("model_name"),
        prepend_bos=metadata.flag("prepend_bos"),
        context=metadata.whole("context_size"),
        l0=float(config.k) if config.k is not None else None,
    )
    # Top-k then compares, and gives, pre-activations times the norm: the same as if the decoder had norm 1.
    return made.with_unit_decoder() if config.k and config.settings.flag("rescale_acts_by_decoder_norm") else made


def _encoder_bias(files: SaeFiles, config: Config, n_features: int) -> Tensor:
    if config.architecture == "matching_pursuit":
        return torch.zeros(n_features)
    return files.take("b_gate" if config.architecture == "gated" else "b_enc", n_features)


def _nonlinearity(files: SaeFiles, config: Config, n_features: int) -> Nonlinearity:
    architecture, settings = config.architecture, config.settings
    if architecture == "gated":
        return gated(*(files.take(name, n_features) for name in ("b_gate", "b_mag", "r_mag")))
    if architecture == "matching_pursuit":
        stop = settings.number("residual_threshold")
        return MatchingPursuit(
            residual_threshold=1e-2 if stop is None else stop,
            max_iterations=settings.whole("max_iterations") or files.tensors["W_dec"].shape[1],
            stop_on_duplicate_support=settings.flag("stop_on_duplicate_support") is not False,
        )
    if architecture in ("topk", "abstopk"):
        k = files.top_k(settings, config.k, n_features)
        return TopK(k) if architecture == "topk" else AbsTopK(k)
    if architecture in ("batchtopk", "matryoshka_batchtopk") or "jumprelu" in architecture:
        # Batch top-k SAEs are trained as such and saved with the threshold that gives k on average.
        return JumpRelu(files.take("threshold", n_features))
    if "threshold" in files.tensors:
        raise Invalid(f"{files.weights} holds a threshold, and {CONFIG} says {architecture}, which has none.")
    return Relu()


def _config(files: SaeFiles) -> Config:
    settings = files.settings(CONFIG)
    flat = "metadata" not in settings  # before 6.0
    metadata = settings if flat else settings.part("metadata")
    architecture, k = settings.text("architecture") or "standard", settings.whole("k")
    activation = settings.text("activation_fn_str") or settings.text("activation_fn") or "relu"
    if activation not in ("relu", "topk"):
        raise settings.refused(f"the activation function {activation!r} is not known; SAELens has relu and topk.")
    if flat and activation == "topk" and architecture == "standard":
        architecture, k = "topk", settings.part("activation_fn_kwargs").whole("k")
    if architecture == "temporal":
        raise settings.refused(f"{TEMPORAL}.")
    if architecture not in ARCHITECTURES:
        raise settings.refused(
            f"the architecture {architecture!r} is not known; these are: {', '.join(ARCHITECTURES)}."
        )
    head = metadata.whole("hook_head_index")
    if head is not None:
        raise settings.refused(
            f"this SAE reads head {head} of an attention layer alone (hook_head_index), and all heads are read here."
        )
    _refuse_finetuned(files)
    return Config(
        settings,
        metadata,
        architecture,
        _normalisation(settings),
        k if architecture in ("topk", "abstopk") else None,
        # A transcoder's b_dec belongs to another place than its input.
        centred=settings.flag("apply_b_dec_to_input") is not False and "transcoder" not in architecture,
    )


def _normalisation(settings: Settings) -> str:
    if isinstance(settings.held.get("normalize_activations"), bool):  # before 4.0
        return "expected_average_only_in" if settings.flag("normalize_activations") else "none"
    if settings.text("normalize_activations") == "covariance_whitening":
        raise settings.refused(
            "the input is whitened (covariance_whitening), and the matrix is not in these files; SAELens' "
            "save_inference_model() writes an SAE with it folded into the weights."
        )
    return settings.one_of("normalize_activations", NORMALISATIONS, "none")


def _refuse_finetuned(files: SaeFiles) -> None:
    """Old files may hold a factor per feature; where it is not all ones, no SAELens since 6.0 applies it."""
    if "scaling_factor" not in files.tensors:
        return
    factor = files.take("scaling_factor", None)
    if not torch.allclose(factor, torch.ones_like(factor)):
        raise Invalid(
            f"{files.weights}: scaling_factor is not all ones: the SAE was fine-tuned with a factor for each feature "
            "(finetuning_scaling_factor), which is not applied here."
        )
