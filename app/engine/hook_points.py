"""Hook points: where activations are read, in TransformerLens' names or as module paths. The only parser of these."""

import re
from dataclasses import dataclass
from functools import lru_cache

from app.errors import Invalid

# Our name of a site -> TransformerLens' name of it inside a block.
SITES = {
    "resid_pre": "hook_resid_pre",
    "resid_mid": "hook_resid_mid",
    "resid_post": "hook_resid_post",
    "attn_out": "hook_attn_out",
    "mlp_out": "hook_mlp_out",
    "z": "attn.hook_z",
    "mlp_in": "mlp.hook_in",
    "mlp_post": "mlp.hook_post",
    "ln1": "ln1.hook_normalized",
    "ln2": "ln2.hook_normalized",
    "ln1_post": "ln1_post.hook_normalized",
    "ln2_post": "ln2_post.hook_normalized",
}
NORMALIZED = ("ln1", "ln2", "ln1_post", "ln2_post")
_BY_LENS_NAME = {name: site for site, name in SITES.items()}
_NAME = re.compile(r"blocks\.(\d{1,4})\.([a-z0-9_.]+)")
_MODULE = re.compile(r"((?:[A-Za-z_]\w*\.)+\d{1,4}(?:\.\w+)*)(:input|:output)?")


@dataclass(frozen=True)
class HookPoint:
    """A site of one block. resid_pre of block n and resid_post of block n - 1 are the same activations.

    module: a Hugging Face module path, for a point that has no site's name; the site is then `output` or `input`.
    """

    layer: int
    site: str
    module: str = ""

    def __str__(self) -> str:
        if self.module:
            return self.module if self.site == "output" else f"{self.module}:{self.site}"
        return f"blocks.{self.layer}.{SITES[self.site]}"


@lru_cache(maxsize=64)
def parse_hook_point(name: str) -> HookPoint:
    """`blocks.4.hook_attn_out`, or `model.layers.4.self_attn` for what that module gives (`:input`: what it reads).

    Raises Invalid with what is accepted.
    """
    name = name.strip()
    lens = _NAME.fullmatch(name)
    if lens is not None and lens[2] in _BY_LENS_NAME:
        return HookPoint(int(lens[1]), _BY_LENS_NAME[lens[2]])
    module = _MODULE.fullmatch(name)
    if module is not None and not name.startswith("blocks."):
        layer = next(int(part) for part in module[1].split(".") if part.isdigit())
        return HookPoint(layer, (module[2] or ":output")[1:], module[1])
    accepted = ", ".join(f"blocks.N.{lens_name}" for lens_name in _BY_LENS_NAME)
    raise Invalid(
        f"{name!r} is not a hook point that can be read; these are: {accepted}, "
        "or the path of a Hugging Face module such as model.layers.4.mlp (with :input for what it reads)."
    )
