"""The live side's work, in the process that runs the models: what a dictionary's model and SAE do with a text.

Each method does one call; the server's side of it, with what is asked checked, is in runtime.py.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from app.domain import Dictionary
from app.engine.live_texts import KeptActivations, RunText, joined
from app.engine.loaded_models import Loaded, LoadedModels
from app.engine.model_thread import ModelThread
from app.engine.patience import Patience
from app.engine.processors import keep_to
from app.errors import FeaturescopeError, Invalid
from app.live import (
    Attribution,
    AttributionRequest,
    ModelUse,
    NextToken,
    RawStrength,
    Separation,
    SteeringEvent,
    SteeringRequest,
)
from app.memory import keep_for_good
from app.settings import Settings


class LiveWork:
    """One per process. Calls come in a thread each, and wait for the one that runs torch."""

    def __init__(self, settings: Settings) -> None:
        self.models = LoadedModels(
            settings.device,
            settings.memory,
            settings.device_map or None,
            settings.trust_remote_code,
            settings.threads,
            keep_for_good,
        )
        self.thread = ModelThread()
        self.n_windows = self.n_batches = 0

    def loading(self, _patience: Patience, dictionary: Dictionary, wait: float) -> float | None:
        return self.models.loading_for(dictionary, wait)

    def load(self, _patience: Patience, dictionary: Dictionary) -> str | None:
        """What stood in the way, or None."""
        try:
            with self.models.use(dictionary, Patience(math.inf)):
                return None
        except FeaturescopeError as error:
            return str(error)

    def use(self, _patience: Patience) -> ModelUse:
        return ModelUse(self.models.n_bytes(), self.n_windows, self.n_batches)

    def keep_to(self, _patience: Patience, processors: frozenset[int]) -> None:
        keep_to(processors)

    def small_bytes(self, patience: Patience, dictionary: Dictionary) -> int | None:
        """Of the weights, where its activations take short steps alone, none of which wants more than one processor."""
        with self.models.use(dictionary, patience) as loaded:
            from app.engine.activations import is_small

            return loaded.model.n_bytes() + loaded.sae.n_bytes() if is_small(loaded) else None

    def activations(
        self,
        patience: Patience,
        dictionary: Dictionary,
        texts: Sequence[str],
        top_k: int,
        followed: Sequence[int],
        most_firings: int,
    ) -> list[RunText]:
        """most_firings: keep all that fires, until so much has; then none of it."""
        with self.models.use(dictionary, patience) as loaded:
            return self._run(loaded, texts, patience, top_k, followed, most_firings)

    def separate(
        self, patience: Patience, dictionary: Dictionary, having: Sequence[str], lacking: Sequence[str], n: int
    ) -> Separation:
        with self.models.use(dictionary, patience) as loaded:
            from app.engine.separation import peaks_of, separate

            kept = [text.kept for text in self._run(loaded, [*having, *lacking], patience, top_k=1)]
            peaks = peaks_of(kept, loaded.sae.n_features)
            return separate(peaks[: len(having)], peaks[len(having) :], n)

    def attribute(self, patience: Patience, dictionary: Dictionary, asked: AttributionRequest) -> Attribution:
        with self.models.use(dictionary, patience) as loaded:
            from app.engine.attribution import attribute

            return attribute(loaded, asked, lambda step: self.thread.run(patience, step))

    def next_tokens(
        self, patience: Patience, dictionary: Dictionary, text: str, position: int, n: int
    ) -> list[NextToken]:
        """The likeliest first; an encoder expects nothing."""
        with self.models.use(dictionary, patience) as loaded:
            if not loaded.model.has_logits:
                return []
            from app.engine.predictions import predict_next

            return self.thread.run(patience, lambda: predict_next(loaded, text, position, n))

    def check_prompt(self, patience: Patience, dictionary: Dictionary, prompt: str, n_new: int) -> None:
        """Raises Invalid for one that does not fit the model."""
        with self.models.use(dictionary, patience) as loaded:
            from app.engine.generation import read_prompt

            read_prompt(loaded, prompt, n_new)

    def steer(
        self,
        patience: Patience,
        dictionary: Dictionary,
        asked: SteeringRequest,
        strengths: Sequence[RawStrength],
        controls: Sequence[RawStrength],
    ) -> Iterator[SteeringEvent]:
        with self.models.use(dictionary, patience) as loaded:
            from app.engine.steering import steer

            yield from steer(loaded, asked, strengths, controls, lambda step: self.thread.run(patience, step))

    def _run(
        self,
        loaded: Loaded,
        texts: Sequence[str],
        patience: Patience,
        top_k: int,
        followed: Sequence[int] = (),
        most_firings: int = 0,
    ) -> list[RunText]:
        from app.engine import activations
        from app.engine.tokens import windows

        def run(waiting: Sequence[activations.Piece]) -> list[list[KeptActivations]]:
            self.n_windows += sum(len(piece.windows) for piece in waiting)
            self.n_batches += 1
            return activations.run_pieces(loaded, waiting)

        cut = [windows(loaded.model.tokenizer, text, loaded.window_tokens) for text in texts]
        for text, its_windows in zip(texts, cut, strict=True):
            if not its_windows:
                raise Invalid(f"The text {text[:40]!r} holds no token for this model; type a sentence.")
        most = activations.most_tokens(loaded)
        kept: list[KeptActivations] = []
        whole = activations.Piece([window for its in cut for window in its], top_k, followed)
        n_firings = 0
        for piece in activations.pieces(whole, most):
            found = self.thread.run_together(
                patience,
                ("activations", id(loaded.model), id(loaded.sae), loaded.hook, loaded.bos),
                replace(piece, firings=n_firings < most_firings),
                piece.n_tokens,
                most,
                run,
            )
            n_firings += sum(len(window.firings.values) for window in found if window.firings is not None)
            kept += found
        rest = iter(kept)
        return [
            RunText(
                [window.offset + span.start for window in its for span in window.spans],
                [window.offset + span.end for window in its for span in window.spans],
                joined(list(islice(rest, len(its)))),
            )
            for its in cut
        ]
