"""The live side: windows of several requests through model and SAE at once, and what is kept of each."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from app.engine.live_texts import Firings, Floats, Ids, KeptActivations
from app.engine.loaded_models import Loaded
from app.engine.processors import everywhere
from app.engine.products import even_length
from app.engine.tokens import Window

BATCH_TOKENS = 640  # positions of one forward, padding included: more are no quicker a token on a processor
BATCH_ACTIVATIONS = 2**26  # entries of one encode's result: 256 MB
LONG_STEP = 10**10  # weights times positions: a sixth of a second and more of one processor


@dataclass(frozen=True)
class Piece:
    """Windows of one request that run in one step. top_k, followed, firings (whether to keep them): as it asks."""

    windows: Sequence[Window]
    top_k: int
    followed: Sequence[int]
    firings: bool = False

    @property
    def n_tokens(self) -> int:
        """Positions that it takes in a batch, padding included."""
        return len(self.windows) * (1 + max(len(window.token_ids) for window in self.windows))


def most_tokens(loaded: Loaded) -> int:
    """Tokens of one step: bounded by the forward, and by the size of the encode's result."""
    return max(1, min(BATCH_TOKENS, BATCH_ACTIVATIONS // loaded.sae.n_features))


def pieces(whole: Piece, most: int) -> Iterator[Piece]:
    """A request's windows in pieces of at most `most` positions; a window above that is a piece of its own."""
    n = max(1, most // (1 + max(len(window.token_ids) for window in whole.windows)))
    for first in range(0, len(whole.windows), n):
        yield replace(whole, windows=whole.windows[first : first + n])


@torch.inference_mode()
def run_pieces(loaded: Loaded, pieces: Sequence[Piece]) -> list[list[KeptActivations]]:
    """The windows of all pieces, in as few forwards as there are groups of about one length.

    Padding stands on the right, so no window's result depends on its neighbours but for the rounding of sums.
    """
    asked = [(piece, window) for piece in pieces for window in piece.windows]
    found: dict[int, KeptActivations] = {}
    for group in of_about_one_length([len(window.token_ids) for _, window in asked]):
        acts = encode_windows(loaded, [asked[place][1] for place in group])
        for place, held in zip(group, acts, strict=True):
            found[place] = reduce_window(held, asked[place][0])
    places = iter(range(len(asked)))
    return [[found[next(places)] for _ in piece.windows] for piece in pieces]


def of_about_one_length(lengths: Sequence[int]) -> list[list[int]]:
    """Places in groups, longest first, such that no row of a group is padded by more than half of it."""
    groups: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if groups and lengths[place] * 2 >= lengths[groups[-1][0]]:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def n_products(loaded: Loaded, n_positions: int) -> int:
    """Of the activations at so many positions: weights that are multiplied by, times positions."""
    return n_positions * (loaded.model.n_multiplied(loaded.hook) + loaded.sae.encoder.numel())


def is_small(loaded: Loaded) -> bool:
    """Whether even a whole batch of live texts, or a whole window where that is longer, is a short step."""
    most = max(most_tokens(loaded), loaded.context)
    return loaded.model.device.type == "cpu" and n_products(loaded, most) < LONG_STEP


@contextmanager
def threads_for(loaded: Loaded, products: int) -> Iterator[None]:
    """A long step takes every processor: with one left for pages, a large model's batch on two would take almost twice
    as long. A short one gains little by another thread, for it is soon done and the server wants its processor.

    products: weights that are multiplied by, times positions.
    """
    usual = torch.get_num_threads()
    if loaded.model.device.type != "cpu" or products < LONG_STEP or loaded.most_threads <= usual:
        yield
        return
    torch.set_num_threads(loaded.most_threads)
    try:
        with everywhere():
            yield
    finally:
        torch.set_num_threads(usual)


@torch.inference_mode()
def encode_windows(loaded: Loaded, windows: Sequence[Window]) -> list[Tensor]:
    """(n_tokens, n_features) float32 activations of each window, BOS left out, in one forward."""
    bos = loaded.bos
    longest = len(bos) + max(len(window.token_ids) for window in windows)
    device = loaded.model.device
    if device.type == "cpu":
        longest = even_length(len(windows), longest, loaded.model.context)
    held = [[*bos, *window.token_ids] for window in windows]
    padding = [longest - len(row) for row in held]
    ids = torch.tensor([row + [0] * n for row, n in zip(held, padding, strict=True)])
    mask = torch.tensor([[1] * len(row) + [0] * n for row, n in zip(held, padding, strict=True)])
    with threads_for(loaded, n_products(loaded, ids.numel())):
        stream = loaded.model.capture(ids.to(device), mask.to(device), loaded.hook)
        rows = [stream[row, len(bos) : len(bos) + len(window.token_ids)] for row, window in enumerate(windows)]
        acts = loaded.sae.encode(torch.cat(rows)).float()
    return list(torch.split(acts, [len(window.token_ids) for window in windows]))


def reduce_window(acts: Tensor, piece: Piece) -> KeptActivations:
    """acts: (n_tokens, n_features), few of which fire: what does is found once, and the rest made of it.

    At 32 tokens of 24,576 features this takes a fourth of the time of four passes over all of them.
    """
    held = acts.cpu().numpy()
    n_tokens, n_features = held.shape
    fired = np.flatnonzero(held > 0)
    tokens, features = np.divmod(fired, n_features)
    values = held.reshape(-1)[fired]

    k = min(piece.top_k, n_features)
    top_features, top_values = np.zeros((n_tokens, k), np.int64), np.zeros((n_tokens, k), np.float32)
    # What fired stands in the order of tokens, and of features within each.
    order = _strongest_first(tokens, values)
    rank = np.arange(len(order)) - np.searchsorted(tokens, np.arange(n_tokens))[tokens]  # tokens ascend here too
    strong = rank < k
    top_features[tokens[strong], rank[strong]] = features[order][strong]
    top_values[tokens[strong], rank[strong]] = values[order][strong]

    order = _strongest_first(features, values)
    ascending = features[order]
    begins = np.ones(len(order), np.bool_)
    begins[1:] = ascending[1:] != ascending[:-1]
    firsts = np.flatnonzero(begins)  # of each feature, its peak
    return KeptActivations(
        top_features=top_features,
        top_values=top_values,
        followed=held[:, list(piece.followed)],
        features=ascending[firsts],
        peaks=values[order][firsts],
        places=tokens[order][firsts],
        sums=np.add.reduceat(values[order].astype(np.float64), firsts) if len(firsts) else np.zeros(0),
        counts=np.diff(firsts, append=len(order)),
        firings=Firings(tokens, features, values) if piece.firings else None,
    )


def _strongest_first(groups: Ids, values: Floats) -> Ids:
    """The order of group, in it of value, the largest first, and of equals as they stand.

    groups, values: (n,), values above 0. The bits of such a float, read as a whole number, ascend with it, so that one
    key says both: sorted in a third of the time of two.
    """
    return np.argsort((groups << 32) - values.view(np.int32), kind="stable")
