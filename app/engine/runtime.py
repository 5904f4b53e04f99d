"""The live side of one server: what a dictionary's model and SAE do with a text, for many people at once.

torch is imported when the first model is, never with this module.
"""

import logging
import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from app.domain import Dictionary
from app.engine.demo import DEMO
from app.engine.event_stream import EventStream
from app.engine.loaded_models import Loaded, LoadedModels
from app.engine.model_thread import ModelThread
from app.engine.patience import Patience
from app.engine.requests import check_features, check_steering, check_text, control_strengths
from app.errors import FeaturescopeError, Invalid, Unavailable
from app.live import (
    Attribution,
    AttributionRequest,
    LiveText,
    NextToken,
    Ranking,
    RawStrength,
    Separation,
    SteeringEvent,
    SteeringRequest,
)
from app.scales import Scales
from app.settings import Settings

logger = logging.getLogger("featurescope")
if TYPE_CHECKING:
    from app.engine.activations import WindowActivations
    from app.engine.tokens import Window

A_MOMENT = 4.0  # seconds


class Runtime:
    """One per server process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.models = LoadedModels(
            settings.device, settings.memory, settings.device_map or None, settings.trust_remote_code, settings.threads
        )
        self._missed: set[str] = set()
        self.thread = ModelThread(settings.max_waiting)

    def close(self) -> None:
        self.thread.close()

    def activations(
        self,
        dictionary: Dictionary,
        scales: Scales,
        texts: Sequence[str],
        top_k: int,
        followed: Sequence[int],
        ranking: Ranking,
        patience: Patience,
    ) -> list[LiveText]:
        """Each text's strongest features per token and overall. Raises Invalid, Busy, Unavailable."""
        check_features(dictionary, followed)
        with self.loaded(dictionary, texts, patience) as loaded:
            from app.engine.activations import live_text

            found = self._run(loaded, texts, top_k, followed, patience)
            return [
                live_text(text, cut, acts, followed, scales, ranking)
                for text, (cut, acts) in zip(texts, found, strict=True)
            ]

    def separate(
        self, dictionary: Dictionary, having: Sequence[str], lacking: Sequence[str], n: int, patience: Patience
    ) -> Separation:
        """The n features that best tell texts that have something from texts that lack it. Raises as `activations`."""
        for name, texts in (("with", having), ("without", lacking)):
            if not 1 <= len(texts) <= self.settings.max_texts:
                most = self.settings.max_texts
                raise Invalid(f"There are {len(texts)} texts {name}; give 1 to {most} (the setting max_texts).")
        with self.loaded(dictionary, [*having, *lacking], patience) as loaded:
            from app.engine.activations import text_peaks
            from app.engine.separation import separate

            peaks = text_peaks([acts for _, acts in self._run(loaded, [*having, *lacking], 1, [], patience)])
            return separate(peaks[: len(having)], peaks[len(having) :], n)

    def attribute(self, dictionary: Dictionary, asked: AttributionRequest, patience: Patience) -> Attribution:
        """Which features made a next token likely. Raises Invalid, Busy, Unavailable."""
        if not 1 <= asked.n <= self.settings.max_ablated:
            raise Invalid(f"{asked.n} features are to be ablated; give 1 to {self.settings.max_ablated} (max_ablated).")
        with self.loaded(dictionary, [asked.text], patience) as loaded:
            from app.engine.attribution import attribute

            return attribute(loaded, asked, lambda step: self.thread.run(patience, step))

    def next_tokens(
        self, dictionary: Dictionary, text: str, position: int, n: int, patience: Patience
    ) -> list[NextToken]:
        """What the model expects after the text's token `position`, the likeliest first; an encoder expects nothing."""
        with self.loaded(dictionary, [text], patience) as loaded:
            if not loaded.model.has_logits:
                return []
            from app.engine.predictions import predict_next

            return self.thread.run(patience, lambda: predict_next(loaded, text, position, n))

    def steer(
        self, dictionary: Dictionary, scales: Scales, asked: SteeringRequest, patience: Patience
    ) -> EventStream[SteeringEvent]:
        """A text as it is written, without and with steering. Raises Invalid, Busy, Unavailable before it begins."""
        strengths = check_steering(dictionary, scales, asked, self.settings)
        controls = control_strengths(scales, asked, strengths) if asked.controls else []
        self.require(dictionary)
        self.thread.enter()
        try:
            with self.models.use(dictionary, patience) as loaded:
                from app.engine.generation import read_prompt

                read_prompt(loaded, asked.prompt, asked.max_new_tokens)
            return EventStream(patience, lambda: self._steer(dictionary, asked, strengths, controls, patience))
        except BaseException:
            self.thread.leave()
            raise

    def _steer(
        self,
        dictionary: Dictionary,
        asked: SteeringRequest,
        strengths: Sequence[RawStrength],
        controls: Sequence[RawStrength],
        patience: Patience,
    ) -> Generator[SteeringEvent]:
        from app.engine.steering import steer

        try:
            with self.models.use(dictionary, patience) as loaded:
                yield from steer(loaded, asked, strengths, controls, lambda step: self.thread.run(patience, step))
        finally:
            self.thread.leave()

    @contextmanager
    def loaded(self, dictionary: Dictionary, texts: Sequence[str], patience: Patience) -> Iterator[Loaded]:
        """A place at the model for one request, with everything that it needs. Raises Invalid, Busy, Unavailable."""
        for text in texts:
            check_text(text, self.settings.max_text)
        self.require(dictionary)
        with self.thread.admit(), self.models.use(dictionary, patience) as loaded:
            yield loaded

    def loading(self, dictionary: Dictionary) -> float | None:
        """Loads the dictionary's models; None once they are there, else since how many seconds they have been loading.

        Waits a little, so that a small model never shows a page that says so. Raises Unavailable.
        """
        return self.models.loading_for(dictionary, A_MOMENT)

    def load(self, dictionary: Dictionary) -> str | None:
        """Loads the dictionary's models now; what stood in the way, or None."""
        try:
            self.require(dictionary)
            with self.models.use(dictionary, Patience(math.inf)):
                return None
        except FeaturescopeError as error:
            return str(error)

    def unavailable(self, dictionary: Dictionary) -> str | None:
        """Why the live side cannot run this dictionary here, or None."""
        if not self.settings.model:
            return "This server was started without models (--no-model): it serves browsing alone."
        for kind, source in (("model", dictionary.model_source), ("SAE", dictionary.sae_source)):
            if source != DEMO and source.startswith("/") and not Path(source).exists():
                # The folder's name and not its path: whoever reads this may not be whoever runs the server (who finds
                # it in the log, once), and a server that listens on loopback may stand behind a proxy.
                if source not in self._missed:
                    self._missed.add(source)
                    logger.warning("%s: its %s is no longer at %s", dictionary.id, kind, source)
                return (
                    f"The {kind} that this dictionary was made with, {Path(source).name!r}, is no longer where it was "
                    "when it was indexed. Put it back there to run texts (the server's log has the whole path); "
                    "everything else can be browsed."
                )
        return None

    def require(self, dictionary: Dictionary) -> None:
        """Raises Unavailable where `unavailable` has a reason."""
        reason = self.unavailable(dictionary)
        if reason is not None:
            raise Unavailable(reason)

    def _run(
        self, loaded: Loaded, texts: Sequence[str], top_k: int, followed: Sequence[int], patience: Patience
    ) -> "list[tuple[list[Window], list[WindowActivations]]]":
        """Each text's windows, and what was found in them."""
        from app.engine import activations
        from app.engine.tokens import windows

        cut = [windows(loaded.model.tokenizer, text, loaded.window_tokens) for text in texts]
        for text, its_windows in zip(texts, cut, strict=True):
            if not its_windows:
                raise Invalid(f"The text {text[:40]!r} holds no token for this model; type a sentence.")
        most = activations.most_tokens(loaded)
        found: list[WindowActivations] = []
        for piece in activations.pieces([window for its in cut for window in its], top_k, followed, most):
            found += self.thread.run_together(
                patience,
                ("activations", id(loaded.model), id(loaded.sae), loaded.hook, loaded.bos),
                piece,
                piece.n_tokens,
                most,
                lambda waiting: activations.run_pieces(loaded, waiting),
            )
        rest = iter(found)
        return [(its_windows, list(islice(rest, len(its_windows)))) for its_windows in cut]
