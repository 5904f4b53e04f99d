"""Hook points: where activations are read, written as TransformerLens writes them. The only parser of these names."""

import re
from dataclasses import dataclass

from app.errors import Invalid

SITES = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
_NAME = re.compile(r"blocks\.(\d{1,4})\.hook_([a-z_]+)")


@dataclass(frozen=True)
class HookPoint:
    """A site of one block. resid_pre of block n and resid_post of block n - 1 are the same activations."""

    layer: int
    site: str

    def __str__(self) -> str:
        return f"blocks.{self.layer}.hook_{self.site}"


def parse_hook_point(name: str) -> HookPoint:
    """`blocks.4.hook_attn_out` as a HookPoint. Raises Invalid with what is accepted."""
    match = _NAME.fullmatch(name.strip())
    if match is None or match[2] not in SITES:
        accepted = ", ".join(f"blocks.N.hook_{site}" for site in SITES)
        raise Invalid(f"{name!r} is not a hook point that can be read; these are: {accepted}.")
    return HookPoint(int(match[1]), match[2])
