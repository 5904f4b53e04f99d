"""A Hugging Face decoder: loaded, its parts found, activations captured at a hook point or replaced there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from app.engine.demo import model_path
from app.engine.hook_points import HookPoint
from app.errors import Invalid


@dataclass(frozen=True)
class Family:
    """Where an architecture keeps its parts (dotted names below the model, and below a block)."""

    blocks: str
    attention: str
    mlp: str
    # The norm whose input is the stream between attention and MLP; None where both read the same stream.
    middle_norm: str | None
    final_norm: str
    # Gemma's RMSNorm multiplies by 1 + weight.
    norm_adds_one: bool = False


_LLAMA = Family("model.layers", "self_attn", "mlp", "post_attention_layernorm", "model.norm")
FAMILIES: dict[str, Family] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gemma": Family("model.layers", "self_attn", "mlp", "post_attention_layernorm", "model.norm", norm_adds_one=True),
    "gpt2": Family("transformer.h", "attn", "mlp", "ln_2", "transformer.ln_f"),
    "gpt_neox": Family("gpt_neox.layers", "attention", "mlp", "post_attention_layernorm", "gpt_neox.final_layer_norm"),
}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class _Reached(Exception):
    """Ends a forward at the hook's layer: nothing above it is computed."""

    def __init__(self, activations: Tensor) -> None:
        self.activations = activations


@dataclass(frozen=True)
class Unembedding:
    """The linear read-out after the last block. scale: (d_model,); weight: (n_vocabulary, d_model).

    centred: whether the final norm subtracts the mean (LayerNorm) or not (RMSNorm).
    """

    scale: Tensor
    weight: Tensor
    centred: bool


class LanguageModel:
    """One loaded decoder. Rows of a batch are padded on the right, so positions count from 0 in every row."""

    def __init__(self, name: str, model: Any, tokenizer: Any, family: Family) -> None:
        self.name = name
        self.model = model
        self.tokenizer = tokenizer
        self.family = family
        self.blocks: nn.ModuleList = model.get_submodule(family.blocks)
        config = model.config
        self.n_layers = len(self.blocks)
        self.d_model = int(config.hidden_size)
        self.n_vocabulary = int(config.vocab_size)
        self.context = int(config.max_position_embeddings)

    @property
    def device(self) -> torch.device:
        device: torch.device = self.model.device
        return device

    def capture(self, token_ids: Tensor, attention_mask: Tensor, hook: HookPoint) -> Tensor:
        """Activations at the hook: (n_rows, n_positions) ids and mask -> (n_rows, n_positions, d_model)."""

        def stop(activations: Tensor) -> Tensor:
            raise _Reached(activations)

        try:
            with torch.inference_mode(), self._hooked(hook, stop):
                self.model(input_ids=token_ids, attention_mask=attention_mask, use_cache=False)
        except _Reached as reached:
            return reached.activations
        raise AssertionError(f"{hook} was never reached")

    def logits(
        self,
        token_ids: Tensor,
        attention_mask: Tensor,
        hook: HookPoint | None = None,
        replace: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """A whole forward -> (n_rows, n_positions, n_vocabulary), with the hook's activations replaced if asked."""
        with torch.inference_mode():
            if hook is None or replace is None:
                found = self.model(input_ids=token_ids, attention_mask=attention_mask, use_cache=False)
            else:
                with self._hooked(hook, replace):
                    found = self.model(input_ids=token_ids, attention_mask=attention_mask, use_cache=False)
        logits: Tensor = found.logits
        return logits

    @contextmanager
    def _hooked(self, hook: HookPoint, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
        """Every pass of activations through the hook point goes through `change`."""
        module, before = self._module(hook)

        def pre(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            return (change(args[0]), *args[1:])

        def post(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
            if isinstance(output, tuple):
                return (change(output[0]), *output[1:])
            return change(output)

        handle = module.register_forward_pre_hook(pre) if before else module.register_forward_hook(post)
        try:
            yield
        finally:
            handle.remove()

    def _module(self, hook: HookPoint) -> tuple[nn.Module, bool]:
        """The module that the hook point belongs to, and whether it is the module's input (else its output)."""
        self.check_hook(hook)
        block = self.blocks[hook.layer]
        if hook.site == "resid_pre":
            return block, True
        if hook.site == "resid_post":
            return block, False
        if hook.site == "attn_out":
            return block.get_submodule(self.family.attention), False
        if hook.site == "mlp_out":
            return block.get_submodule(self.family.mlp), False
        assert self.family.middle_norm is not None
        return block.get_submodule(self.family.middle_norm), True

    def check_hook(self, hook: HookPoint) -> None:
        """Raises Invalid for a layer or a site that this model does not have."""
        if hook.layer >= self.n_layers:
            raise Invalid(f"{self.name} has layers 0 to {self.n_layers - 1}, so there is no {hook}.")
        parallel = self.family.middle_norm is None or getattr(self.model.config, "use_parallel_residual", False)
        if hook.site == "resid_mid" and parallel:
            raise Invalid(f"{self.name} runs attention and MLP side by side, so it has no {hook}.")

    def unembedding(self) -> Unembedding:
        """The final norm's scale and the unembedding, for reading a direction of the stream as logits."""
        norm = self.model.get_submodule(self.family.final_norm)
        weight = norm.weight.detach().float()
        scale = weight + 1 if self.family.norm_adds_one else weight
        return Unembedding(scale, self.model.get_output_embeddings().weight.detach(), isinstance(norm, nn.LayerNorm))

    def n_bytes(self) -> int:
        return sum(p.numel() * p.element_size() for p in self.model.parameters())


def load_language_model(source: str, device: str = "cpu", dtype: str = "float32") -> LanguageModel:
    """A model from a folder, or by its name on the hub (in its cache when offline). Raises Invalid."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    quiet: Any = logging  # ships no types
    quiet.disable_progress_bar()
    path = model_path(source)
    folder = Path(path).expanduser()
    if folder.exists():
        path = str(folder)
        if not (folder / "config.json").is_file():
            raise Invalid(f"{source} is not a Hugging Face model folder: it has no config.json.")
    elif path.startswith((".", "/", "~")) or path.count("/") > 1:
        raise Invalid(f"There is no model at {source}: give a folder with config.json, or a name on the hub.")
    if dtype not in DTYPES:
        raise Invalid(f"--dtype {dtype!r} is not known; it takes {', '.join(DTYPES)}.")
    try:
        config = AutoConfig.from_pretrained(path)
        family = FAMILIES.get(config.model_type)
        if family is None:
            known = ", ".join(sorted(FAMILIES))
            raise Invalid(f"{source} is a {config.model_type} model; the families known here are {known}.")
        model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=DTYPES[dtype])
        tokenizer = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise Invalid(f"The model {source} cannot be loaded: {first}") from error
    except Exception as error:
        if type(error).__module__.startswith("safetensors"):
            raise Invalid(f"The weights of {source} cannot be read ({error}); are they cut off?") from error
        raise
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise Invalid(f"The model {source} holds NaN or infinity in {name}; its weights are damaged.")
    if not tokenizer.is_fast:
        raise Invalid(f"The tokenizer of {source} gives no character offsets; save it as a fast one (tokenizer.json).")
    model.eval().requires_grad_(False).to(device)
    name = "demo" if source == "demo" else folder.name if folder.exists() else source
    return LanguageModel(name, model, tokenizer, family)
