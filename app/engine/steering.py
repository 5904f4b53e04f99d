"""Steering: generating while features are pushed, beside what the model would have written by itself.

A feature is added (its decoder row times the strength; Turner et al. 2023, arXiv 2308.10248) or clamped (the difference
between the strength and its activation; Templeton et al. 2024, "Scaling Monosemanticity"). The SAE's error stays.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from app.engine.generation import Generation, Prompt, read_prompt
from app.engine.language_model import Change
from app.engine.loaded_models import Loaded
from app.engine.steering_effect import Effect, changed_tokens, measure_effect, notes_on
from app.live import (
    Mode,
    RawStrength,
    Side,
    SteeredText,
    SteeredToken,
    SteeringEvent,
    SteeringRequest,
    SteeringSummary,
    Where,
)

# Of a strength: an activation so near to it is as clamped. Its own digits differ by so much from one batch to another.
SAME = 1e-5
Run: TypeAlias = Callable[[Callable[[], Any]], Any]  # has a step done in the model's thread


class Intervention:
    """What is done to the activations, from position `first` on.

    direction: (d_out,) of norm 1, in which as much is added instead: a control.
    """

    def __init__(
        self, loaded: Loaded, strengths: Sequence[RawStrength], first: int, direction: Tensor | None = None
    ) -> None:
        device = loaded.model.device
        self.relative_norm = 0.0  # of the last pass: what is added over the activations' length, the mean over tokens
        self._loaded = loaded
        self._first = first
        self._direction = direction
        self._features = torch.tensor([s.index for s in strengths], dtype=torch.int64, device=device)
        self._raw = torch.tensor([s.raw for s in strengths], dtype=torch.float32, device=device)
        self._clamped = torch.tensor([s.mode is Mode.CLAMP for s in strengths], device=device)
        self._activations = loaded.sae.encoder_of(self._features)

    def changes(self, begins: int) -> list[Change]:
        """For a pass whose first position is `begins`."""
        return self._loaded.between(lambda x, y: self._changed(x, y, begins))

    def _changed(self, x: Tensor, y: Tensor, begins: int) -> Tensor:
        """x: (1, n_positions, d_in), what the SAE reads; y: (1, n_positions, d_out), what it writes into."""
        left = max(0, self._first - begins)
        rows, target = x[0, left:], y[0, left:]
        if len(rows) == 0:
            return y
        added = self._loaded.sae.written(self._features, self._amounts(rows), rows)
        if self._direction is not None:
            added = added.norm(dim=1, keepdim=True) * self._direction
        added = added.to(y.dtype)
        lengths = target.norm(dim=1).clamp(min=1e-12)
        self.relative_norm = float((added.norm(dim=1) / lengths).mean())
        return torch.cat([y[0, :left], target + added])[None]

    def _amounts(self, x: Tensor) -> Tensor:
        """(n_tokens, d_in) -> (n_tokens, n_pushed): by how much each activation rises."""
        raw = self._raw.expand(len(x), -1)
        if not self._clamped.any():
            return raw
        rises = raw - self._activations(x).float()
        return torch.where(self._clamped, rises.masked_fill_(rises.abs() <= SAME * raw.abs(), 0.0), raw)


def nothing_done(_begins: int) -> list[Change]:
    return []


def steer(
    loaded: Loaded,
    asked: SteeringRequest,
    strengths: Sequence[RawStrength],
    control_strengths: Sequence[RawStrength],
    run: Run,
) -> Iterator[SteeringEvent]:
    """Each token as it comes: base and steered in turn, sample after sample, then the controls; then the summary.

    control_strengths: of other features; empty where no controls were asked for.
    """
    began = time.perf_counter()
    prompt = read_prompt(loaded, asked.prompt, asked.max_new_tokens)
    first = prompt.n_bos if asked.where is Where.ALL else len(prompt.token_ids) - 1
    steering = Intervention(loaded, strengths, first)
    texts: list[SteeredText] = []
    for sample in range(asked.n_samples):
        yield from _write(loaded, asked, prompt, {Side.BASE: None, Side.STEERED: steering}, sample, texts, run)
    if control_strengths:
        direction = torch.nn.functional.normalize(
            torch.randn(loaded.sae.decoder.shape[1], generator=torch.Generator().manual_seed(asked.seed)), dim=0
        )
        controls = {
            Side.RANDOM_DIRECTION: Intervention(loaded, strengths, first, direction.to(loaded.model.device)),
            Side.RANDOM_FEATURE: Intervention(loaded, control_strengths, first),
        }
        yield from _write(loaded, asked, prompt, controls, 0, texts, run)
    seconds = time.perf_counter() - began
    steered = next(text for text in texts if text.side is Side.STEERED)
    effect: Effect = run(partial(measure_effect, loaded, prompt, [], steering))
    raised, lowered = changed_tokens(loaded, effect)
    yield SteeringSummary(
        strengths=strengths,
        control_strengths=control_strengths,
        texts=texts,
        raised=raised,
        lowered=lowered,
        relative_norm=effect.relative_norm,
        notes=notes_on(strengths, effect.relative_norm, steered),
        tokens_per_second=sum(len(text.tokens) for text in texts) / seconds,
    )


def _write(
    loaded: Loaded,
    asked: SteeringRequest,
    prompt: Prompt,
    sides: Mapping[Side, Intervention | None],
    sample: int,
    texts: list[SteeredText],
    run: Run,
) -> Iterator[SteeredToken]:
    """The texts of several sides in turn, a token each; what they became is added to `texts`."""
    seed = asked.seed + sample
    writing = {
        side: Generation(loaded, prompt, done.changes if done else nothing_done, asked.temperature, seed)
        for side, done in sides.items()
    }
    for _ in range(asked.max_new_tokens):
        for side, text in writing.items():
            if not text.ended and run(text.step):
                yield SteeredToken(sample, side, text.texts[-1], text.token_ids[-1])
    for side, text in writing.items():
        done = sides[side]
        kl = [] if done is None else run(partial(measure_effect, loaded, prompt, text.token_ids, done)).kl
        texts.append(SteeredText(side, sample, seed, "".join(text.texts), text.texts, kl))
