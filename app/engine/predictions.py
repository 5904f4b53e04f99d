"""What the model expects next at a place of a text."""

import torch

from app.engine.loaded_models import Loaded
from app.engine.tokens import token_text, windows
from app.errors import Invalid
from app.live import NextToken


@torch.inference_mode()
def predict_next(loaded: Loaded, text: str, position: int, n: int) -> list[NextToken]:
    """The n likeliest tokens after the text's token `position`, given that token's window up to it. Raises Invalid."""
    first = 0
    for window in windows(loaded.model.tokenizer, text, loaded.window_tokens):
        within = position - first
        if 0 <= within < len(window.token_ids):
            ids = torch.tensor([[*loaded.bos, *window.token_ids[: within + 1]]], device=loaded.model.device)
            logits = loaded.model.logits(ids, torch.ones_like(ids))[0, -1].float()
            probabilities = logits.softmax(dim=0)
            values, found = probabilities.topk(min(n, len(probabilities)))
            return [
                NextToken(token_text(loaded.model.tokenizer, token), token, value)
                for token, value in zip(found.tolist(), values.tolist(), strict=True)
            ]
        first += len(window.token_ids)
    raise Invalid(f"The text has {first} tokens (0 to {first - 1}), so there is no token {position}.")
