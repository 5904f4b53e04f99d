"""Which features made a next token likely: activation times gradient, and true ablation beside it.

Attribution patching (Nanda 2023; Syed et al. 2023, arXiv 2310.10348) with the SAE's error kept as a node of its own
(Marks et al. 2024, arXiv 2403.19647): one forward, one backward.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from app.engine.activations import threads_for
from app.engine.loaded_models import Loaded
from app.engine.requests import check_characters
from app.engine.tokens import encode, token_text, windows
from app.errors import Invalid
from app.live import Attribution, AttributionRequest, FeatureContribution, NextToken

Run: TypeAlias = Callable[[Callable[[], Any]], Any]  # has a step done in the model's thread
NEXT_TOKENS = 10
ABLATED_POSITIONS = 1024  # rows of one ablation step times their positions


@dataclass(frozen=True)
class Place:
    """Where a prediction is read. ids: (1, n_positions), BOS among them, up to the token that it comes after."""

    ids: Tensor
    n_bos: int
    tokens: Sequence[str]
    position: int


@dataclass(frozen=True)
class Gradients:
    """At the place's tokens, BOS left out. contributions: (n_tokens, n_features); the others are sums over tokens."""

    value: float
    activations: Tensor
    contributions: Tensor
    error: float
    bias: float
    bos: float


def attribute(loaded: Loaded, asked: AttributionRequest, run: Run) -> Attribution:
    """Raises Invalid for a position or a token that the text or the model does not have."""
    place = find_place(loaded, asked)
    logits: Tensor = run(partial(read_logits, loaded, place))
    probabilities = logits.softmax(dim=0)
    expected = probabilities.topk(min(NEXT_TOKENS, len(logits))).indices.tolist()
    target = expected[0] if asked.target is None else token_id(loaded, asked.target)
    versus = None if asked.versus is None else token_id(loaded, asked.versus)
    if target == versus:
        raise Invalid("The two tokens are the same, so their difference is always 0; choose another one.")
    found: Gradients = run(partial(gradients, loaded, place, target, versus))
    totals = found.contributions.sum(dim=0)
    strongest = totals.abs().topk(min(asked.n, int((totals != 0).sum()))).indices
    without: list[float] = []
    rows = max(1, ABLATED_POSITIONS // place.ids.shape[1])
    for some in strongest.split(rows):  # type: ignore[no-untyped-call]  # torch ships it so
        without += run(partial(ablate, loaded, place, target, versus, some))
    effects = [found.value - value for value in without]
    named = partial(_named, loaded, probabilities)
    return Attribution(
        tokens=place.tokens,
        position=place.position,
        next_tokens=[named(token) for token in expected],
        target=named(target),
        versus=None if versus is None else named(versus),
        value=found.value,
        from_features=float(totals.sum()),
        from_error=found.error,
        from_bias=found.bias,
        from_bos=found.bos,
        rest=found.value - float(totals.sum()) - found.error - found.bias - found.bos,
        by_token=found.contributions.sum(dim=1).tolist(),
        features=[
            FeatureContribution(index, float(totals[index]), found.contributions[:, index].tolist(), effect)
            for index, effect in zip(strongest.tolist(), effects, strict=True)
        ],
        correlation=correlation(totals[strongest].tolist(), effects),
    )


def find_place(loaded: Loaded, asked: AttributionRequest) -> Place:
    """The window of the text that holds the token, cut after it."""
    cut = windows(loaded.model.tokenizer, asked.text, loaded.window_tokens)
    n = sum(len(window.token_ids) for window in cut)
    if n == 0:
        raise Invalid("The text holds no token for this model; type a sentence.")
    position = n - 1 if asked.position is None else asked.position
    if not 0 <= position < n:
        raise Invalid(f"The text has {n} tokens (0 to {n - 1}), so there is no token {position}.")
    within = position
    for window in cut:
        if within < len(window.token_ids):
            ids = torch.tensor([[*loaded.bos, *window.token_ids[: within + 1]]], device=loaded.model.device)
            tokens = [window.text[span.start : span.end] for span in window.spans[: within + 1]]
            return Place(ids, len(loaded.bos), tokens, position)
        within -= len(window.token_ids)
    raise AssertionError("a position below the number of tokens lies in a window")


def token_id(loaded: Loaded, given: int | str) -> int:
    """A token by its id or its text; a word is taken with a space before it, if that is one token too."""
    if isinstance(given, int):
        if not 0 <= given < loaded.model.n_vocabulary:
            raise Invalid(f"{loaded.model.name} has tokens 0 to {loaded.model.n_vocabulary - 1}, not {given}.")
        return given
    check_characters(given)
    for text in (f" {given}", given) if given[:1].isalnum() else (given,):
        ids, _ = encode(loaded.model.tokenizer, text)
        if len(ids) == 1:
            return ids[0]
    ids, _ = encode(loaded.model.tokenizer, given)
    pieces = ", ".join(repr(token_text(loaded.model.tokenizer, one)) for one in ids[:5])
    raise Invalid(f"{given!r} is {len(ids)} tokens for {loaded.model.name} ({pieces}); give one of them.")


@torch.no_grad()
def read_logits(loaded: Loaded, place: Place) -> Tensor:
    """(n_vocabulary,) after the place's last token."""
    with threads_for(loaded, place.ids.numel() * loaded.model.n_multiplied()):
        return loaded.model.logits(place.ids, torch.ones_like(place.ids))[0, -1].float()


def gradients(loaded: Loaded, place: Place, target: int, versus: int | None) -> Gradients:
    """One forward in which the written activations are decode(features) + error, one backward to both."""
    leaves: list[Tensor] = []

    def split(x: Tensor, y: Tensor) -> Tensor:
        """x: (1, n_positions, d_in), read; y: (1, n_positions, d_out), written, made of what has gradients."""
        with torch.no_grad():
            rows = x[0, place.n_bos :]
            features = loaded.sae.encode(rows).float().detach()
            bias = loaded.sae.decode(torch.zeros_like(features), rows)
        features.requires_grad_()
        written = loaded.sae.decode(features.to(loaded.sae.decoder.dtype), rows)
        error = (y[0, place.n_bos :] - written).detach().requires_grad_()
        bos = y[0, : place.n_bos].detach().clone().requires_grad_()
        leaves.extend((features, error, bias, bos))
        return torch.cat([bos, (written + error).to(y.dtype)])[None]

    with threads_for(loaded, 2 * place.ids.numel() * loaded.model.n_multiplied()):
        logits = loaded.model.differentiable_logits(place.ids, torch.ones_like(place.ids), loaded.between(split))
        value = _value(logits[:, -1].float(), target, versus)[0]
        value.backward()  # type: ignore[no-untyped-call]  # torch ships it so
    features, error, bias, bos = leaves
    assert features.grad is not None
    assert error.grad is not None
    return Gradients(
        value=float(value.detach()),
        activations=features.detach(),
        contributions=(features * features.grad).detach(),
        error=float((error.detach() * error.grad).sum()),
        bias=float((bias * error.grad).sum()),
        bos=float((bos.detach() * bos.grad).sum()) if bos.grad is not None else 0.0,
    )


@torch.no_grad()
def ablate(loaded: Loaded, place: Place, target: int, versus: int | None, features: Tensor) -> list[float]:
    """The value with each of these features at 0 on every token, one row of the forward each."""

    def without(x: Tensor, y: Tensor) -> Tensor:
        rows = x[0, place.n_bos :]
        held = loaded.sae.encode(rows)
        changed = y.clone()
        for row, feature in enumerate(features):
            one = feature[None]
            changed[row, place.n_bos :] -= loaded.sae.written(one, held[:, one], rows).to(y.dtype)
        return changed

    ids = place.ids.expand(len(features), -1)
    n_products = ids.numel() * loaded.model.n_multiplied()
    with threads_for(loaded, n_products), loaded.model.changed(ids.shape, loaded.between(without)):
        logits = loaded.model.logits(ids, torch.ones_like(ids))
    return _value(logits[:, -1].float(), target, versus).tolist()


def _value(logits: Tensor, target: int, versus: int | None) -> Tensor:
    """(n_rows, n_vocabulary) -> (n_rows,)"""
    return logits[:, target] if versus is None else logits[:, target] - logits[:, versus]


def _named(loaded: Loaded, probabilities: Tensor, token: int) -> NextToken:
    return NextToken(token_text(loaded.model.tokenizer, token), token, float(probabilities[token]))


def correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Pearson's; None below three pairs, or where one of them does not vary."""
    if len(one) < 3:
        return None
    pairs = torch.tensor([one, other], dtype=torch.float64)
    if bool((pairs.std(dim=1) == 0).any()):
        return None
    return float(torch.corrcoef(pairs)[0, 1])
