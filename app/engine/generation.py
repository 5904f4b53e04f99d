"""Writing a text on, token by token, with a cache of keys and values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.engine.language_model import Change
from app.engine.loaded_models import Loaded
from app.engine.tokens import encode
from app.errors import Invalid

Changes = Callable[[int], Sequence[Change]]  # what is done in a pass whose first position is this


@dataclass(frozen=True)
class Prompt:
    """token_ids: BOS among them, n_bos of them."""

    token_ids: Sequence[int]
    n_bos: int


def read_prompt(loaded: Loaded, text: str, n_new: int) -> Prompt:
    """Raises Invalid for a prompt that does not fit the model together with the n_new tokens that are to follow."""
    ids, _ = encode(loaded.model.tokenizer, text)
    if not ids:
        raise Invalid("The prompt holds no token for this model; type the beginning of a text.")
    prompt = Prompt([*loaded.bos, *ids], len(loaded.bos))
    if len(prompt.token_ids) + n_new > loaded.model.context:
        raise Invalid(
            f"The prompt has {len(prompt.token_ids)} tokens and {n_new} are to follow, but {loaded.model.name} reads "
            f"at most {loaded.model.context}; shorten the prompt or ask for fewer tokens."
        )
    return prompt


class Generation:
    """One text as it is written. temperature 0: the likeliest token each time; seed: of the draws otherwise."""

    def __init__(self, loaded: Loaded, prompt: Prompt, changes: Changes, temperature: float, seed: int) -> None:
        self.token_ids: list[int] = []
        self.texts: list[str] = []  # of each token; "" for a piece of a character, which the last piece holds whole
        self.ended = False
        self._loaded = loaded
        self._changes = changes
        self._temperature = temperature
        self._draw = torch.Generator().manual_seed(seed)
        self._cache = loaded.model.new_cache()
        self._unread: Sequence[int] = prompt.token_ids
        self._n_read = 0
        self._ends = end_ids(loaded)

    def step(self) -> bool:
        """Writes the next token; False where the model ends the text. Raises Invalid where its numbers overflow."""
        ids = torch.tensor([list(self._unread)], device=self._loaded.model.device)
        logits = self._loaded.model.next_logits(ids, self._cache, self._changes(self._n_read))[0]
        if not torch.isfinite(logits).all():
            raise Invalid("With this strength the model's own numbers overflow; choose a smaller one.")
        self._n_read += len(self._unread)
        token = self._choose(logits)
        if token in self._ends:
            self.ended = True
            return False
        self._unread = [token]
        self.token_ids.append(token)
        self.texts.append(self._new_text())
        return True

    def _choose(self, logits: Tensor) -> int:
        if self._temperature == 0:
            return int(logits.argmax())
        probabilities = (logits.cpu().double() / self._temperature).softmax(dim=0)
        return int(torch.multinomial(probabilities, 1, generator=self._draw))

    def _new_text(self) -> str:
        """What the last token adds; nothing while it ends inside a character."""
        whole: str = self._loaded.model.tokenizer.decode(self.token_ids, clean_up_tokenization_spaces=False)
        known = "".join(self.texts)
        return "" if whole.endswith("\N{REPLACEMENT CHARACTER}") else whole[len(known) :]


def end_ids(loaded: Loaded) -> frozenset[int]:
    """The tokens that end a text: as the model's generation settings say, else the tokenizer's."""
    given = getattr(loaded.model.model, "generation_config", None)
    ends = given.eos_token_id if given is not None and given.eos_token_id is not None else None
    if ends is None:
        ends = loaded.model.tokenizer.eos_token_id
    if ends is None:
        return frozenset()
    return frozenset(ends if isinstance(ends, list) else [ends])
