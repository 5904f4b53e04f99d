"""Where each hook point lies among a model's modules, and why there may be none."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from app.engine.families import Family
from app.engine.hook_points import NORMALIZED, HookPoint
from app.errors import Invalid

# Sites that a module path can stand for.
_NAMED = ("resid_post", "resid_pre", "attn_out", "mlp_out", "resid_mid", "z", "mlp_in", "mlp_post")


@dataclass(frozen=True)
class Place:
    """Where a hook point lies: what a module reads (`input`) or gives (`output`), or its input normalised."""

    module: nn.Module
    side: str


class Sites:
    """The hook points of one model."""

    def __init__(self, name: str, model: Any, family: Family) -> None:
        self.name = name
        self.model = model
        self.family = family
        self.blocks: nn.ModuleList = model.get_submodule(family.blocks)

    def place(self, hook: HookPoint) -> Place:
        """Raises Invalid as `check` does."""
        self.check(hook)
        if hook.module:
            return Place(self._submodule(hook.module), hook.site)
        block = self.blocks[hook.layer]
        if hook.site in ("resid_pre", "resid_post"):
            return Place(block, "input" if hook.site == "resid_pre" else "output")
        module = self.part(hook)
        if hook.site in ("attn_out", "mlp_out"):
            return Place(module, "output")
        return Place(module, "normalised" if hook.site in NORMALIZED else "input")

    def part(self, hook: HookPoint) -> nn.Module:
        """The module of its block that the hook point's site belongs to."""
        name, _ = self._named_part(hook.site)
        assert name is not None
        return self.blocks[hook.layer].get_submodule(name)

    def _named_part(self, site: str) -> tuple[str | None, str]:
        """The module of a block that a site belongs to, and why there may be none."""
        family = self.family
        parts = {
            "resid_mid": (family.middle, "its attention and MLP read the same stream, so there is nothing between"),
            "attn_out": (family.attention, "its attention is not named (--parts attention=...)"),
            "mlp_out": (family.mlp, "its MLP is not named (--parts mlp=...)"),
            "z": (family.attention_projection, "its attention's projection is not named (--parts)"),
            "mlp_in": (family.mlp_input, "its MLP is not named (--parts mlp_input=...)"),
            "mlp_post": (family.mlp_projection, "its MLP has no single projection (a mixture of experts has many)"),
            "ln1": (family.ln1, "its attention reads the stream without a norm"),
            "ln2": (family.ln2, "its MLP has no norm of its own"),
            "ln1_post": (family.ln1_post, "its attention's output goes through no norm"),
            "ln2_post": (family.ln2_post, "its MLP's output goes through no norm"),
        }
        return parts[site]

    def _submodule(self, path: str) -> nn.Module:
        """A module by its path below the model or, as sparsify writes it, below the model without its head."""
        for above in (self.model, getattr(self.model, "base_model", self.model)):
            try:
                found: nn.Module = above.get_submodule(path)
                return found
            except AttributeError:
                continue
        raise Invalid(
            f"{self.name} has no module {path}; its blocks are {self.family.blocks}.0 to "
            f"{self.family.blocks}.{len(self.blocks) - 1}, each with "
            f"{', '.join(name for name, _ in self.blocks[0].named_children())}."
        )

    def check(self, hook: HookPoint) -> None:
        """Raises Invalid for a layer, a site or a module that this model does not have, with why."""
        if hook.module:
            self._submodule(hook.module)
            return
        if hook.layer >= len(self.blocks):
            raise Invalid(f"{self.name} has layers 0 to {len(self.blocks) - 1}, so there is no {hook}.")
        if hook.site in ("resid_pre", "resid_post"):
            return
        part, why = self._named_part(hook.site)
        if part is None:
            raise Invalid(f"{self.name} has no {hook}: {why}.")

    def named(self, hook: HookPoint) -> HookPoint:
        """The hook point by its site's name, where a module path stands for one: both give the same index."""
        if not hook.module:
            return hook
        place = self.place(hook)
        if hook.layer >= len(self.blocks):
            return hook
        for site in _NAMED:
            candidate = HookPoint(hook.layer, site)
            if site.startswith("resid_p") or self._named_part(site)[0] is not None:
                at = self.place(candidate)
                if at.module is place.module and at.side == place.side:
                    return candidate
        return hook


def normalised(norm: nn.Module, x: Tensor) -> Tensor:
    """x as the norm sees it before its weight: (..., d), mean 0 where it centres, root mean square 1."""
    wide = x.float()
    if isinstance(norm, nn.LayerNorm):
        return nn.functional.layer_norm(wide, norm.normalized_shape, eps=norm.eps).to(x.dtype)
    named: Any = norm
    epsilon = float(named.variance_epsilon if hasattr(norm, "variance_epsilon") else named.eps)
    return (wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + epsilon)).to(x.dtype)
