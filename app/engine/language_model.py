"""A Hugging Face model with its parts found: activations captured at hook points or replaced there, logits read."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from app.engine.families import Family
from app.engine.hook_points import HookPoint
from app.engine.sites import Sites, normalised
from app.errors import Invalid

UNBOUNDED_CONTEXT = 2048  # taken where a config states no longest text (ALiBi)


class _Reached(Exception):
    """Ends a forward at the last hook's layer: nothing above it is computed."""


@dataclass(frozen=True)
class Unembedding:
    """The linear read-out after the last block. scale: (d_model,); weight: (n_vocabulary, d_model).

    centred: whether the final norm subtracts the mean (LayerNorm) or not (RMSNorm).
    """

    scale: Tensor
    weight: Tensor
    centred: bool


# What is done to the activations at a hook point: (n_rows, n_positions, width) to the same.
Change: TypeAlias = tuple[HookPoint, Callable[[Tensor], Tensor]]


class LanguageModel:
    """One loaded model. Rows of a batch are padded on the right, so positions count from 0 in every row."""

    def __init__(self, name: str, model: Any, tokenizer: Any, family: Family) -> None:
        self.name = name
        self.model = model
        self.tokenizer = tokenizer
        self.family = family
        self.sites = Sites(name, model, family)
        self.blocks = self.sites.blocks
        config = model.config.get_text_config()
        self.n_layers = len(self.blocks)
        self.d_model = int(config.hidden_size)
        self.n_vocabulary = int(config.vocab_size)
        self.context = int(getattr(config, "max_position_embeddings", None) or UNBOUNDED_CONTEXT)

    @property
    def device(self) -> torch.device:
        device: torch.device = self.model.device
        return device

    @property
    def has_logits(self) -> bool:
        """Encoders have none: they predict no next token."""
        return not self.family.encoder

    @cached_property
    def bos_id(self) -> int | None:
        """What stands before a text: BOS, else the encoder's [CLS], else the end token, as TransformerLens takes it."""
        tokenizer = self.tokenizer
        start = tokenizer.cls_token_id if self.family.encoder else tokenizer.eos_token_id
        found = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else start
        return None if found is None else int(found)

    def capture(self, token_ids: Tensor, attention_mask: Tensor, hook: HookPoint) -> Tensor:
        """Activations at the hook: (n_rows, n_positions) ids and mask -> (n_rows, n_positions, width(hook))."""
        return self.capture_each(token_ids, attention_mask, [hook])[0]

    def capture_each(self, token_ids: Tensor, attention_mask: Tensor, hooks: Sequence[HookPoint]) -> list[Tensor]:
        """Activations at several hooks from one forward, which stops when the last of them is reached."""
        found: dict[int, Tensor] = {}

        def keep(number: int) -> Callable[[Tensor], Tensor]:
            def note(activations: Tensor) -> Tensor:
                found[number] = activations
                if len(found) == len(hooks):
                    raise _Reached
                return activations

            return note

        try:
            with torch.inference_mode(), ExitStack() as hooked:
                for number, hook in enumerate(hooks):
                    hooked.enter_context(self._hooked(hook, token_ids.shape, keep(number)))
                self._forward(token_ids, attention_mask)
        except _Reached:
            return [found[number].to(token_ids.device) for number in range(len(hooks))]
        missed = next(hook for number, hook in enumerate(hooks) if number not in found)
        raise Invalid(f"{self.name} computes its logits without going through the module of {missed}.")

    def logits(
        self,
        token_ids: Tensor,
        attention_mask: Tensor,
        hook: HookPoint | None = None,
        replace: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """A whole forward -> (n_rows, n_positions, n_vocabulary), with the hook's activations replaced if asked."""
        self.check_logits()
        with torch.inference_mode():
            if hook is None or replace is None:
                found = self._forward(token_ids, attention_mask)
            else:
                with self._hooked(hook, token_ids.shape, replace):
                    found = self._forward(token_ids, attention_mask)
        logits: Tensor = found.logits
        return logits

    def new_cache(self) -> Any:
        """Keys and values of what has been read, empty: for `next_logits`."""
        from transformers import DynamicCache

        return DynamicCache(config=self.model.config)

    def next_logits(self, token_ids: Tensor, cache: Any, changes: Sequence[Change] = ()) -> Tensor:
        """(n_rows, n_new) ids, read after what `cache` holds (and then held there too) -> (n_rows, n_vocabulary).

        The logits are those after the last token.
        """
        self.check_logits()
        with torch.inference_mode(), self.changed(token_ids.shape, changes):
            logits: Tensor = self.model(input_ids=token_ids, past_key_values=cache, use_cache=True).logits
        return logits[:, -1]

    def differentiable_logits(self, token_ids: Tensor, attention_mask: Tensor, changes: Sequence[Change]) -> Tensor:
        """As `logits`, with a graph from whatever in the changes asks for gradients; the weights ask for none."""
        self.check_logits()
        with torch.enable_grad(), self.changed(token_ids.shape, changes):
            logits: Tensor = self._forward(token_ids, attention_mask).logits
        return logits

    @contextmanager
    def changed(self, shape: torch.Size, changes: Sequence[Change]) -> Iterator[None]:
        """Forwards of (n_rows, n_positions) ids inside go through these changes, in the order given."""
        with ExitStack() as hooked:
            for hook, change in changes:
                hooked.enter_context(self._hooked(hook, shape, change))
            yield

    def _forward(self, token_ids: Tensor, attention_mask: Tensor) -> Any:
        cache = {"use_cache": False} if self.has_logits else {}
        return self.model(input_ids=token_ids, attention_mask=attention_mask, **cache)

    @contextmanager
    def _hooked(self, hook: HookPoint, shape: torch.Size, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
        """Every pass of activations through the hook point goes through `change`, as (n_rows, n_positions, width)."""
        place = self.sites.place(hook)

        def changed(x: Tensor) -> Tensor:
            # Some MLPs (OPT) run over all tokens of the batch in one row.
            return change(x) if x.ndim == 3 else change(x.view(*shape, x.shape[-1])).view(x.shape)

        def read(_module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
            if args:
                return (changed(args[0]), *args[1:]), named
            first = next(iter(named))
            return args, {**named, first: changed(named[first])}

        def given(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
            return (changed(output[0]), *output[1:]) if isinstance(output, tuple) else changed(output)

        def normal(norm: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
            x = normalised(norm, args[0])
            new = changed(x)
            if new is x:
                return output
            bias = getattr(norm, "bias", None)
            return (new * self._scale(norm) + (0 if bias is None else bias)).to(output.dtype)

        if place.side == "input":
            handle = place.module.register_forward_pre_hook(read, with_kwargs=True)
        else:
            handle = place.module.register_forward_hook(given if place.side == "output" else normal)
        try:
            yield
        finally:
            handle.remove()

    def check_hook(self, hook: HookPoint) -> None:
        """Raises Invalid for a layer, a site or a module that this model does not have, with why."""
        self.sites.check(hook)

    def width(self, hook: HookPoint) -> int:
        """How many numbers a token has at the hook: d_model, or what the heads or the MLP's inner layer have."""
        if not hook.module and hook.site not in ("z", "mlp_post"):
            return self.d_model
        one = torch.zeros(1, 1, dtype=torch.int64, device=self.device)
        return self.capture(one, torch.ones_like(one), hook).shape[-1]

    def to_stream(self, hook: HookPoint, directions: Tensor) -> Tensor | None:
        """(n, width(hook)) directions as what they add to the stream, (n, d_model); None where nothing is added there.

        hook_z and mlp.hook_post go through the projection; a post-norm's scale is folded in, as the final norm's is.
        """
        hook = self.sites.named(hook)
        if hook.module or hook.site in ("ln1", "ln2", "mlp_in"):
            return None
        if hook.site in ("z", "mlp_post"):
            projection: Any = self.sites.part(hook)
            weight = projection.weight.detach()
            # GPT-2's Conv1D keeps (in, out), a Linear (out, in).
            directions = directions.float() @ (weight.T if isinstance(projection, nn.Linear) else weight).float()
        family = self.family
        post_norms = {"z": family.ln1_post, "ln1_post": family.ln1_post}
        post_norms |= {"mlp_post": family.ln2_post, "ln2_post": family.ln2_post}
        post = post_norms.get(hook.site)
        return directions if post is None else directions * self._scale(self.blocks[hook.layer].get_submodule(post))

    def unembedding(self) -> Unembedding:
        """The final norm's scale and the unembedding, for reading a direction of the stream as logits.

        Raises Invalid for a model without logits.
        """
        self.check_logits()
        weight: Tensor = self.model.get_output_embeddings().weight.detach()
        if self.family.final_projection is not None:
            weight = weight @ self.model.get_submodule(self.family.final_projection).weight.detach()
        if self.family.final_norm is None:
            return Unembedding(torch.ones(weight.shape[1], device=weight.device), weight, False)
        norm = self.model.get_submodule(self.family.final_norm)
        return Unembedding(self._scale(norm).to(weight.device), weight, isinstance(norm, nn.LayerNorm))

    def check_logits(self) -> None:
        """Raises Invalid for an encoder."""
        if not self.has_logits:
            raise Invalid(f"{self.name} is an encoder: it predicts no next token, so it has no logits.")

    def _scale(self, norm: Any) -> Tensor:
        """(d,): what the norm multiplies by."""
        weight: Tensor = norm.weight.detach().float()
        return weight + 1 if self.family.norm_adds_one else weight

    @cached_property
    def _block_weights(self) -> list[int]:
        return [sum(p.numel() for p in block.parameters()) for block in self.blocks]

    def n_multiplied(self, hook: HookPoint | None = None) -> int:
        """Weights that a forward multiplies by, up to the hook or to the logits; embeddings are looked up alone."""
        if hook is not None and not hook.module:
            return sum(self._block_weights[: hook.layer + 1])
        return sum(self._block_weights) + (self.d_model * self.n_vocabulary if self.has_logits else 0)

    def n_bytes(self) -> int:
        return sum(p.numel() * p.element_size() for p in self.model.parameters())
