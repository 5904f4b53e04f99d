"""Of the features that several seeds find, those that others find too.

An SAE's features depend on the seed that it begins from, and few return from another (Paulo and Belrose 2025, arXiv
2501.16615). On the demo's site, of the tenth of features that return best, nine in ten are about one token, one
beginning or one topic; of the tenth that return least, one in ten.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

SAME = 0.5  # correlation from which on two features are one


def stable(blocks: Iterable[Tensor], n_seeds: int, n: int) -> Tensor:
    """The n features that most seeds agree on, the surest first, each once: (n,) indices into all seeds' side by side.

    blocks: activations, (n_tokens, n_seeds * n_features). How sure a feature is, is the mean over the other seeds of
    its largest correlation with one of theirs.
    """
    alike = correlations(blocks)
    n_features = len(alike) // n_seeds
    best = alike.view(len(alike), n_seeds, n_features).amax(dim=2)
    best[torch.arange(len(alike)), torch.arange(n_seeds).repeat_interleave(n_features)] = 0
    taken: list[int] = []
    is_there = torch.zeros(len(alike), dtype=torch.bool)
    for feature in best.sum(dim=1).argsort(descending=True, stable=True).tolist():
        if len(taken) < n and not is_there[feature]:
            taken.append(feature)
            is_there |= alike[feature] > SAME
    if len(taken) < n:
        raise SystemExit(f"{n_seeds} seeds of {n_features} features find only {len(taken)} different ones, not {n}.")
    return torch.tensor(taken)


def correlations(blocks: Iterable[Tensor]) -> Tensor:
    """(n_features, n_features) Pearson correlations over the tokens of all blocks, each (n_tokens, n_features)."""
    n_tokens, total, products = 0, torch.zeros(1), torch.zeros(1)
    for block in blocks:
        n_tokens += len(block)
        total = total + block.sum(dim=0)
        products = products + block.T @ block
    mean = total / n_tokens
    covariance = products / n_tokens - torch.outer(mean, mean)
    scale = covariance.diagonal().sqrt().clamp(min=1e-8)
    return covariance / scale / scale[:, None]
