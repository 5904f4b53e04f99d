"""Language models and SAEs in memory: loaded on first use, shared by dictionaries, bounded in bytes.

torch is imported when the first model is, never with this module.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, TimeoutError
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.domain import Dictionary
from app.engine.hook_points import HookPoint, parse_hook_point
from app.engine.patience import Patience
from app.engine.processors import n_processors
from app.errors import FeaturescopeError, Unavailable

if TYPE_CHECKING:
    from torch import Tensor

    from app.engine.language_model import Change, LanguageModel
    from app.engine.sae import Sae

A_LOAD = 3600.0  # seconds that a load in the background may take
Key = tuple[str, ...]  # "model" or "SAE", its source, and how it is loaded


@dataclass(frozen=True)
class Loaded:
    """What a dictionary's live side runs on.

    bos: the ids put before every window, as when it was indexed. most_threads: of torch, for a long step.
    """

    model: "LanguageModel"
    sae: "Sae"
    hook: HookPoint
    context: int
    bos: tuple[int, ...]
    most_threads: int

    @property
    def write_hook(self) -> HookPoint:
        """Where the SAE's output belongs: a transcoder writes elsewhere than it reads."""
        from app.engine.sae import written_at

        return written_at(self.sae, self.hook)

    def between(self, change: "Callable[[Tensor, Tensor], Tensor]") -> "list[Change]":
        """What makes of x, which the SAE reads, and of y, which it writes into, the new y. For an SAE the two are one.

        x: (n_rows, n_positions, d_in); y and the new y: (n_rows, n_positions, d_out)
        """
        if self.hook == self.write_hook:
            return [(self.hook, lambda x: change(x, x))]
        seen: list[Tensor] = []

        def note(x: "Tensor") -> "Tensor":
            seen[:] = [x]
            return x

        return [(self.hook, note), (self.write_hook, lambda y: change(seen[0], y))]

    @property
    def window_tokens(self) -> int:
        """Tokens of a text that one window takes."""
        return self.context - len(self.bos)


@dataclass
class _Held:
    """One model or SAE, or its place while it loads. users: requests that hold it now."""

    value: Any = None
    users: int = 0
    loading: threading.Lock = field(default_factory=threading.Lock)


class LoadedModels:
    """memory: bytes of weights, above which the least recently used that no request holds are dropped."""

    def __init__(
        self,
        device: str,
        memory: int,
        device_map: str | None = None,
        trust_remote_code: bool = False,
        threads: int = 0,
        after_load: Callable[[], object] = lambda: None,
    ) -> None:
        self.device = device
        self.threads = threads or max(1, n_processors() - 1)  # of torch on the processor
        self.most_threads = threads or n_processors()
        self.device_map = device_map
        self.trust_remote_code = trust_remote_code
        self.memory = memory
        self._after_load = after_load
        self._lock = threading.Lock()
        self._held: OrderedDict[Key, _Held] = OrderedDict()
        self._begun: dict[tuple[Key, Key], tuple[float, Future[None]]] = {}

    @contextmanager
    def use(self, dictionary: Dictionary, patience: Patience) -> Iterator[Loaded]:
        """The dictionary's model and SAE, loaded if need be, not dropped meanwhile. Raises Unavailable, Busy."""
        with ExitStack() as holds:
            model = holds.enter_context(
                self._hold(_model_key(dictionary), lambda: self._load_model(dictionary), patience)
            )
            sae = holds.enter_context(self._hold(_sae_key(dictionary), lambda: self._load_sae(dictionary), patience))
            bos = model.bos_id if dictionary.parameters["prepend_bos"] else None
            context = int(str(dictionary.parameters["context"]))
            hook = parse_hook_point(dictionary.hook_point)
            yield Loaded(model, sae, hook, context, () if bos is None else (bos,), self.most_threads)

    def loading_for(self, dictionary: Dictionary, wait: float) -> float | None:
        """Begins to load in the background where nobody has, and waits up to `wait` seconds.

        None once both are loaded, else the seconds that it has been going on. Raises what stood in its way.
        """
        keys = (_model_key(dictionary), _sae_key(dictionary))
        with self._lock:
            if all(key in self._held and self._held[key].value is not None for key in keys):
                return None
            if keys not in self._begun:
                self._begun[keys] = (time.monotonic(), Future())
                threading.Thread(target=self._load_both, args=(dictionary,), daemon=True).start()
            begun, done = self._begun[keys]
        try:
            done.result(wait)
        except TimeoutError:
            return time.monotonic() - begun
        return None

    def n_bytes(self) -> int:
        """Of all weights held."""
        return sum(held.value.n_bytes() for held in list(self._held.values()) if held.value is not None)

    def _load_both(self, dictionary: Dictionary) -> None:
        keys = (_model_key(dictionary), _sae_key(dictionary))
        _, done = self._begun[keys]
        try:
            with self.use(dictionary, Patience(A_LOAD)):
                pass
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(None)
        with self._lock:
            del self._begun[keys]

    @contextmanager
    def _hold(self, key: Key, load: Callable[[], Any], patience: Patience) -> Iterator[Any]:
        with self._lock:
            held = self._held.setdefault(key, _Held())
            held.users += 1
            self._held.move_to_end(key)
        try:
            if held.value is None:
                self._load(held, key, load, patience)
            yield held.value
        finally:
            with self._lock:
                held.users -= 1
                self._drop()

    def _load(self, held: _Held, key: Key, load: Callable[[], Any], patience: Patience) -> None:
        """The first that asks loads; others wait for it, each no longer than its own patience."""
        if not held.loading.acquire(timeout=min(patience.left, A_LOAD)):
            raise patience.over()
        try:
            if held.value is None:
                held.value = load()
                self._after_load()
        except FeaturescopeError as error:
            raise Unavailable(f"The {key[0]} of this dictionary cannot be loaded: {error}") from error
        finally:
            held.loading.release()

    def _drop(self) -> None:
        """What failed to load, and the least recently used above `memory`; never what a request holds, nor the model
        and the SAE used last, whatever their size."""
        for key in [key for key, held in self._held.items() if held.users == 0 and held.value is None]:
            del self._held[key]
        last = {key[0]: key for key in self._held}.values()  # of each kind
        for key in [key for key in self._held if key not in last]:
            if self.n_bytes() <= self.memory:
                break
            if self._held[key].users == 0:
                del self._held[key]

    def _load_model(self, dictionary: Dictionary) -> "LanguageModel":
        import torch

        from app.engine.model_files import load_language_model
        from app.engine.tokens import encode

        torch.set_num_threads(self.threads)
        model = load_language_model(
            dictionary.model_source,
            self.device,
            _dtype(dictionary),
            device_map=self.device_map,
            trust_remote_code=self.trust_remote_code,
            parts=_parts(dictionary),
        )
        encode(model.tokenizer, "x")  # sets the tokenizer's options, which must not happen in two threads at once
        return model

    def _load_sae(self, dictionary: Dictionary) -> "Sae":
        from app.engine.model_files import DTYPES
        from app.engine.published import open_sae

        return open_sae(dictionary.sae_source, self.device, DTYPES[_dtype(dictionary)], _normalisation(dictionary))


def _dtype(dictionary: Dictionary) -> str:
    """As when it was indexed: another precision fires a little differently, and may not fit."""
    return str(dictionary.parameters.get("dtype", "float32"))


def _parts(dictionary: Dictionary) -> list[str]:
    parts = dictionary.parameters.get("parts", [])
    return [str(part) for part in parts] if isinstance(parts, list) else []


def _normalisation(dictionary: Dictionary) -> str | None:
    told = dictionary.parameters.get("normalisation")
    return None if told is None else str(told)


def _model_key(dictionary: Dictionary) -> Key:
    return ("model", dictionary.model_source, _dtype(dictionary), *_parts(dictionary))


def _sae_key(dictionary: Dictionary) -> Key:
    return ("SAE", dictionary.sae_source, _dtype(dictionary), _normalisation(dictionary) or "")
