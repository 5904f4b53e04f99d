"""The loaded models of a server: loaded on first use, shared, bounded in bytes, one forward at a time.

torch is imported when the first model is, never with this module.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.domain import Dictionary, LiveText
from app.engine.demo import DEMO
from app.errors import Busy, Invalid, Unavailable
from app.settings import Settings

if TYPE_CHECKING:
    from app.engine.language_model import LanguageModel
    from app.engine.sae import Sae


class Runtime:
    """One per server process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._one_at_a_time = threading.Lock()
        self._waiting = threading.BoundedSemaphore(settings.max_waiting)
        self._loaded: OrderedDict[tuple[str, str], Any] = OrderedDict()

    def activations(
        self, dictionary: Dictionary, texts: Sequence[str], top_k: int, followed: Sequence[int]
    ) -> list[LiveText]:
        """Each text's strongest features per token and overall. Raises Invalid, Busy, Unavailable."""
        for text in texts:
            check_text(text, self.settings.max_text)
        for feature in followed:
            if not 0 <= feature < dictionary.n_features:
                raise Invalid(f"{dictionary.id} has features 0 to {dictionary.n_features - 1}, not {feature}.")
        with self._turn():
            from app.engine.activations import live_activations
            from app.engine.hook_points import parse_hook_point

            model, sae = self._models(dictionary)
            context = int(str(dictionary.parameters["context"]))
            prepend_bos = bool(dictionary.parameters["prepend_bos"])
            hook = parse_hook_point(dictionary.hook_point)
            return [live_activations(model, sae, hook, text, context, prepend_bos, top_k, followed) for text in texts]

    def unavailable(self, dictionary: Dictionary) -> str | None:
        """Why the live side cannot run this dictionary here, or None."""
        if not self.settings.model:
            return "This server was started without models (--no-model): it serves browsing alone."
        for kind, source in (("model", dictionary.model_source), ("SAE", dictionary.sae_source)):
            if source != DEMO and source.startswith("/") and not Path(source).exists():
                return f"The {kind} that this dictionary was made with is no longer where it was when it was indexed."
        return None

    def _models(self, dictionary: Dictionary) -> tuple["LanguageModel", "Sae"]:
        from app.engine.demo import sae_path
        from app.engine.language_model import load_language_model
        from app.engine.sae import load_sae

        device = self.settings.device
        model = self._get(
            ("model", dictionary.model_source), lambda: load_language_model(dictionary.model_source, device)
        )
        sae = self._get(("sae", dictionary.sae_source), lambda: load_sae(sae_path(dictionary.sae_source), device))
        return model, sae

    def _get(self, key: tuple[str, str], load: Any) -> Any:
        if key not in self._loaded:
            self._loaded[key] = load()
        self._loaded.move_to_end(key)
        # The two that a request needs stay, whatever their size.
        while len(self._loaded) > 2 and sum(m.n_bytes() for m in self._loaded.values()) > self.settings.memory:
            self._loaded.popitem(last=False)
        return self._loaded[key]

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Waits for the model; refuses at once when too many wait already."""
        if not self._waiting.acquire(blocking=False):
            raise Busy(f"{self.settings.max_waiting} requests wait for the model already; try again in a few seconds.")
        try:
            with self._one_at_a_time:
                yield
        finally:
            self._waiting.release()

    def require(self, dictionary: Dictionary) -> None:
        """Raises Unavailable where `unavailable` has a reason."""
        reason = self.unavailable(dictionary)
        if reason is not None:
            raise Unavailable(reason)


def check_text(text: str, most: int) -> None:
    """Raises Invalid for a live text that cannot be run."""
    if not text.strip():
        raise Invalid("The text is empty; type a sentence.")
    if len(text) > most:
        raise Invalid(f"The text has {len(text):,} characters; at most {most:,} are run at once.")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise Invalid("The text holds half of a surrogate pair, which is no character; send it as valid Unicode.")
