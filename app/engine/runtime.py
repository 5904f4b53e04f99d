"""The live side of one server: what may be asked of it, by how many at once, and what comes of it.

The work itself is done in other processes (live_work.py); neither torch nor a model is ever loaded in this one.
"""

import logging
import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from app.domain import Dictionary
from app.engine.demo import DEMO
from app.engine.door import Door
from app.engine.event_stream import EventStream
from app.engine.model_processes import ModelProcesses
from app.engine.patience import Patience
from app.engine.requests import check_features, check_steering, check_text, control_strengths
from app.engine.turn import Turn
from app.errors import FeaturescopeError, Invalid, Unavailable
from app.live import (
    Attribution,
    AttributionRequest,
    LiveText,
    ModelUse,
    NextToken,
    Ranking,
    RawStrength,
    Separation,
    SteeringEvent,
    SteeringRequest,
)
from app.scales import Scales
from app.settings import Settings

if TYPE_CHECKING:  # browsing alone needs no numpy
    from app.engine.live_texts import RunText

logger = logging.getLogger("featurescope")
A_MOMENT = 4.0  # seconds


class Runtime:
    """One per server process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.door = Door(settings.max_waiting)
        self.turn = Turn()
        self.processes = ModelProcesses(settings)
        self._missed: set[str] = set()

    def close(self) -> None:
        self.processes.close()

    def activations(
        self,
        dictionary: Dictionary,
        scales: Scales,
        texts: Sequence[str],
        top_k: int,
        followed: Sequence[int],
        ranking: Ranking,
        patience: Patience,
        most_firings: int = 0,
    ) -> list[LiveText]:
        """Each text's strongest features per token and overall, and the first of these at every token, if no more than
        about so much fires. Raises Invalid, Busy, Unavailable.
        """
        from app.engine.live_texts import live_text

        # Which comes first is known when the model has run, so all that fires is kept till then.
        found = self.run_texts(dictionary, texts, top_k, followed, patience, most_firings)
        return [live_text(text, run, followed, scales, ranking) for text, run in zip(texts, found, strict=True)]

    def run_texts(
        self,
        dictionary: Dictionary,
        texts: Sequence[str],
        top_k: int,
        followed: Sequence[int],
        patience: Patience,
        most_firings: int = 0,
        gives_way: bool = False,
    ) -> "list[RunText]":
        """What `activations` is made of. Raises as it does.

        gives_way: while somebody browses no helper works on it, which leaves the pages a processor.
        """
        check_features(dictionary, followed)
        with self.admitted(dictionary, texts):
            found: list[RunText] = self.processes.call(
                patience,
                "activations",
                dictionary,
                texts,
                top_k,
                followed,
                most_firings,
                helped=not (gives_way and self.turn.is_browsed()),
            )
        return found

    def separate(
        self, dictionary: Dictionary, having: Sequence[str], lacking: Sequence[str], n: int, patience: Patience
    ) -> Separation:
        """The n features that best tell texts that have something from texts that lack it. Raises as `activations`."""
        for name, texts in (("with", having), ("without", lacking)):
            if not 1 <= len(texts) <= self.settings.max_texts:
                most = self.settings.max_texts
                raise Invalid(f"{len(texts)} texts are given {name} it; 1 to {most} can be (the setting max_texts).")
        with self.admitted(dictionary, [*having, *lacking]):
            found: Separation = self.processes.call(patience, "separate", dictionary, having, lacking, n)
        return found

    def attribute(self, dictionary: Dictionary, asked: AttributionRequest, patience: Patience) -> Attribution:
        """Which features made a next token likely. Raises Invalid, Busy, Unavailable."""
        if not 1 <= asked.n <= self.settings.max_ablated:
            raise Invalid(f"{asked.n} features are to be ablated; give 1 to {self.settings.max_ablated} (max_ablated).")
        with self.admitted(dictionary, [asked.text]):
            found: Attribution = self.processes.call(patience, "attribute", dictionary, asked)
        return found

    def next_tokens(
        self, dictionary: Dictionary, text: str, position: int, n: int, patience: Patience
    ) -> list[NextToken]:
        """What the model expects after the text's token `position`, the likeliest first; an encoder expects nothing."""
        with self.admitted(dictionary, [text]):
            found: list[NextToken] = self.processes.call(patience, "next_tokens", dictionary, text, position, n)
        return found

    def steer(
        self, dictionary: Dictionary, scales: Scales, asked: SteeringRequest, patience: Patience
    ) -> EventStream[SteeringEvent]:
        """A text as it is written, without and with steering. Raises Invalid, Busy, Unavailable before it begins."""
        strengths = check_steering(dictionary, scales, asked, self.settings)
        controls = control_strengths(scales, asked, strengths) if asked.controls else []
        self.require(dictionary)
        self.door.enter()
        try:
            self.processes.call(patience, "check_prompt", dictionary, asked.prompt, asked.max_new_tokens)
            return EventStream(patience, lambda: self._steer(dictionary, asked, strengths, controls, patience))
        except BaseException:
            self.door.leave()
            raise

    def _steer(
        self,
        dictionary: Dictionary,
        asked: SteeringRequest,
        strengths: Sequence[RawStrength],
        controls: Sequence[RawStrength],
        patience: Patience,
    ) -> Generator[SteeringEvent]:
        try:
            yield from self.processes.stream(patience, "steer", dictionary, asked, strengths, controls)
        finally:
            self.door.leave()

    @contextmanager
    def admitted(self, dictionary: Dictionary, texts: Sequence[str]) -> Iterator[None]:
        """A place at the model for one request. Raises Invalid, Busy, Unavailable."""
        for text in texts:
            check_text(text, self.settings.max_text)
        self.require(dictionary)
        with self.door.admit():
            yield

    def loading(self, dictionary: Dictionary, texts: Sequence[str], patience: Patience) -> float | None:
        """Loads the dictionary's models; None once they are there, else since how many seconds they have been loading.

        Waits a little, so that a small model never shows a page that says so. texts: that are to be run then. Raises
        Invalid for one that cannot be, Unavailable, Busy.
        """
        for text in texts:
            check_text(text, self.settings.max_text)
        found: float | None = self.processes.call(patience, "loading", dictionary, A_MOMENT)
        return found

    def load(self, dictionary: Dictionary) -> str | None:
        """Loads the dictionary's models now; what stood in the way, or None."""
        try:
            self.require(dictionary)
            found: str | None = self.processes.call(Patience(math.inf), "load", dictionary)
        except FeaturescopeError as error:
            return str(error)
        return found

    def use(self) -> ModelUse:
        """Of the models, as it is now; nothing where no text has come yet. Raises Busy."""
        return self.processes.use()

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
