"""What steering did: how far the next-token distributions moved, and what a reader must know of the strengths."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from app.engine.generation import Prompt
from app.engine.loaded_models import Loaded
from app.engine.tokens import token_text
from app.live import ChangedToken, RawStrength, SteeredText

if TYPE_CHECKING:
    from app.engine.steering import Intervention

MOST_CHANGED = 8  # next tokens each way
REPEATS = 0.35  # of the tokens of a text are different ones, or fewer: it goes round in circles
LONG_ENOUGH = 12  # tokens, to say so


@dataclass(frozen=True)
class Effect:
    """kl: one per generated token. base, steered: (n_vocabulary,) log-probabilities of the token after the prompt."""

    kl: list[float]
    base: Tensor
    steered: Tensor
    relative_norm: float


@torch.inference_mode()
def measure_effect(loaded: Loaded, prompt: Prompt, generated: Sequence[int], steering: "Intervention") -> Effect:
    """The same tokens read twice, without and with steering: nothing but steering differs between the two passes."""
    ids = torch.tensor([[*prompt.token_ids, *generated]], device=loaded.model.device)
    mask = torch.ones_like(ids)
    last = len(prompt.token_ids) - 1
    base = loaded.model.logits(ids, mask)[0, last:].float().log_softmax(dim=1)
    with loaded.model.changed(ids.shape, steering.changes(0)):
        steered = loaded.model.logits(ids, mask)[0, last:].float().log_softmax(dim=1)
    # KL(steered || base) = sum p_steered (log p_steered - log p_base), in nats; rounding may put it a hair below 0.
    kl = (steered.exp() * (steered - base)).sum(dim=1).clamp(min=0)
    return Effect(kl[: len(generated)].tolist(), base[0], steered[0], steering.relative_norm)


def changed_tokens(loaded: Loaded, effect: Effect) -> tuple[list[ChangedToken], list[ChangedToken]]:
    """The next tokens after the prompt whose probability rose and fell most."""
    base, steered = effect.base.exp(), effect.steered.exp()
    change = steered - base
    most = min(MOST_CHANGED, len(change))

    def named(tokens: Tensor, moved: Callable[[float], bool]) -> list[ChangedToken]:
        return [
            ChangedToken(token_text(loaded.model.tokenizer, token), token, float(base[token]), float(steered[token]))
            for token in tokens.tolist()
            if moved(float(change[token]))
        ]

    raised = named(change.topk(most).indices, lambda moved: moved > 0)
    return raised, named(change.topk(most, largest=False).indices, lambda moved: moved < 0)


def notes_on(strengths: Sequence[RawStrength], relative_norm: float, steered: SteeredText) -> list[str]:
    """What is out of the ordinary, each in one sentence."""
    notes = []
    for pushed in strengths:
        if pushed.strength > 1:
            notes.append(
                f"Feature {pushed.index} is pushed to {pushed.strength:g} times the most it reached in the index: "
                "the model never met such a state, so the text shows what too much does, not what the feature means."
            )
        if pushed.strength < 0:
            notes.append(
                f"Feature {pushed.index} is pushed below 0, where no activation ever is: this goes against its "
                "direction, which need not mean the opposite of the feature."
            )
    if relative_norm > 1:
        notes.append(
            f"What is added is {relative_norm:.1f} times as long as the activations themselves (mean over the "
            "prompt's steered tokens), so little of them is left to be heard."
        )
    if len(steered.tokens) >= LONG_ENOUGH and len(set(steered.tokens)) <= REPEATS * len(steered.tokens):
        notes.append("The steered text repeats itself, a sign that the strength is too large.")
    return notes
