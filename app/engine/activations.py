"""The live side: any text through model and SAE now, the strongest features kept per token and overall."""

from collections.abc import Sequence

import torch
from torch import Tensor

from app.domain import FeatureActivation, LiveText, LiveToken
from app.engine.hook_points import HookPoint
from app.engine.language_model import LanguageModel
from app.engine.sae import Sae
from app.engine.tokens import windows

STRONGEST = 20


@torch.inference_mode()
def live_activations(
    model: LanguageModel,
    sae: Sae,
    hook: HookPoint,
    text: str,
    context: int,
    prepend_bos: bool,
    top_k: int,
    followed: Sequence[int],
) -> LiveText:
    """Run one text in windows of `context` positions, as the index does. followed: features to give at every token."""
    bos = [model.bos_id] if prepend_bos and model.bos_id is not None else []
    tokens: list[LiveToken] = []
    peaks = torch.zeros(sae.n_features)
    places = torch.zeros(sae.n_features, dtype=torch.int64)
    for window in windows(model.tokenizer, text, context - len(bos)):
        ids = torch.tensor([bos + list(window.token_ids)], device=model.device)
        stream = model.capture(ids, torch.ones_like(ids), hook)[0, len(bos) :]
        acts = sae.encode(stream).float().cpu()
        first = len(tokens)
        highest, rows = acts.max(dim=0)
        better = highest > peaks
        peaks = torch.where(better, highest, peaks)
        places = torch.where(better, rows + first, places)
        values, features = acts.topk(min(top_k, sae.n_features), dim=1)
        for row, span in enumerate(window.spans):
            position = first + row
            start, end = window.offset + span.start, window.offset + span.end
            strongest = _firing(features[row], values[row], position)
            wanted = [FeatureActivation(f, position, float(acts[row, f])) for f in followed]
            tokens.append(LiveToken(position, text[start:end], start, end, strongest, wanted))
    best, features = peaks.topk(min(STRONGEST, sae.n_features))
    strongest = [
        FeatureActivation(f, int(places[f]), v) for f, v in zip(features.tolist(), best.tolist(), strict=True) if v > 0
    ]
    return LiveText(text, tokens, strongest)


def _firing(features: Tensor, values: Tensor, position: int) -> list[FeatureActivation]:
    pairs = zip(features.tolist(), values.tolist(), strict=True)
    return [FeatureActivation(feature, position, value) for feature, value in pairs if value > 0]
