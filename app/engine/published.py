"""SAEs by what `--sae` names: `demo`, a path, `saelens:RELEASE/ID` of SAELens' registry, or `hf:owner/repo/path`."""

import difflib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.engine.demo import DEMO, sae_path
from app.engine.registry import HUB_NAMES, PublishedSae, read_registry
from app.errors import Invalid, NotFound

if TYPE_CHECKING:
    import torch

    from app.engine.sae import Sae

SAELENS, HUB = "saelens:", "hf:"


@dataclass(frozen=True)
class SaeFiles:
    """Where an SAE lies on this machine, and what the registry says of it, if that is where its name is from."""

    path: Path
    published: PublishedSae | None = None


def is_published(source: str) -> bool:
    return source.startswith((SAELENS, HUB))


def locate(source: str) -> SaeFiles:
    """The files of an SAE, downloaded if they are not in the cache. Raises Invalid, NotFound."""
    from app.engine.hub import fetch

    if source.startswith(SAELENS):
        published = find_published(source.removeprefix(SAELENS))
        return SaeFiles(fetch(published.repo, published.path), published)
    if source.startswith(HUB):
        named, at, revision = source.removeprefix(HUB).partition("@")
        parts = named.strip("/").split("/")
        if len(parts) < 2 or not all(parts):
            raise Invalid(f"{source} names no SAE: it is hf:owner/repo/path, with @revision after it if need be.")
        return SaeFiles(fetch("/".join(parts[:2]), "/".join(parts[2:]), revision if at else "main"))
    return SaeFiles(sae_path(source))


def open_sae(
    source: str, device: str = "cpu", dtype: "torch.dtype | None" = None, normalisation: str | None = None
) -> "Sae":
    """The SAE that `source` names, in float32 unless told. Raises Invalid, NotFound.

    normalisation: of its input, where the files say it wrongly: a name, or the factor that it is multiplied by.
    """
    import torch

    from app.engine.sae import load_sae

    files = locate(source)
    sae = load_sae(files.path, device, torch.float32 if dtype is None else dtype)
    sae = sae if files.published is None else _as_published(sae, files.published)
    return sae if normalisation is None else _normalising(sae, normalisation)


def stated_model(source: str) -> str:
    """The model that an SAE says it belongs to, as --model takes it. Raises Invalid where it says none."""
    if source == DEMO:
        return DEMO
    if source.startswith(SAELENS):
        return find_published(source.removeprefix(SAELENS)).model
    stated = open_sae(source).model_name
    if stated is None:
        raise Invalid(f"The SAE {source} does not say which model it was trained on; give it with --model.")
    return hub_name(stated)


def hub_name(model: str) -> str:
    """A model's name on the hub, where SAEs write it as TransformerLens does."""
    return HUB_NAMES.get(model, model)


def find_published(name: str) -> PublishedSae:
    """The SAE of the registry that RELEASE/ID names. Raises NotFound with what is nearest."""
    registry = read_registry()
    release, _, id = name.partition("/")
    if release not in registry.releases:
        near = difflib.get_close_matches(release, registry.releases, 3, 0.5)
        hint = f"; near it are {', '.join(near)}" if near else ""
        raise NotFound(f"There is no release {release!r} in the table {registry.source}{hint}. See: featurescope saes")
    saes = {sae.id: sae for sae in registry.saes(release)}
    if id not in saes:
        near = difflib.get_close_matches(id, saes, 3, 0.3) or list(saes)[:3]
        raise NotFound(
            f"The release {release} has no SAE {id!r}, but {len(saes)} others, such as {', '.join(near)}. "
            f"See: featurescope saes {release}"
        )
    return saes[id]


def _as_published(sae: "Sae", published: PublishedSae) -> "Sae":
    """What the registry says beyond the files: where it belongs, its L0, and how its input was prepared."""
    if published.normalisation is not None and published.normalisation != sae.normalisation:
        sae = replace(sae, normalisation=published.normalisation)
    if published.scale is not None and sae.normalisation == "expected_average_only_in":
        sae = sae.with_input_scale(published.scale)
    if published.centred:
        sae = reading_centred(sae)
    return replace(
        sae,
        hook_point=sae.hook_point or published.hook_point,
        model_name=published.model,
        l0=published.l0 if published.l0 is not None else sae.l0,
    )


def _normalising(sae: "Sae", normalisation: str) -> "Sae":
    from app.engine.sae import NORMALISATIONS

    if normalisation in NORMALISATIONS:
        return replace(sae, normalisation=normalisation)
    try:
        scale = float(normalisation)
    except ValueError:
        scale = 0.0
    if not 0 < scale < float("inf"):
        raise Invalid(
            f"--normalisation {normalisation!r} is not known; it takes {', '.join(NORMALISATIONS)}, or the factor that "
            "the input is multiplied by."
        )
    return sae.with_input_scale(scale)


def reading_centred(sae: "Sae") -> "Sae":
    """An SAE trained on a stream whose every token has mean 0, made to read, and give back, the stream as it is.

    TransformerLens' center_writing_weights takes the mean out of all that writes to the stream, which changes no
    LayerNorm model's logits. With C = I - 11'/d, (x C - c) W = (x - c) (C W) + c (C W - W); x (11'/d) is given back.
    """
    import torch

    encoder = sae.encoder - sae.encoder.mean(dim=0)
    bias = sae.encoder_bias
    if sae.centre is not None:
        bias = bias + sae.centre @ (encoder - sae.encoder)
    kept = torch.full((sae.d_in, sae.d_out), 1 / sae.d_in, dtype=encoder.dtype, device=encoder.device)
    skip = kept if sae.skip is None else sae.skip + kept
    return replace(sae, encoder=encoder, encoder_bias=bias, skip=skip)
