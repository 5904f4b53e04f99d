"""Which sentences are shown for a feature: the strongest, uniform samples of five intervals, silent ones, contrasts."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.domain import INTERVAL_GROUPS, INTERVALS, Group, NewExample
from app.index.draw import DrawOrder
from app.index.recording import MASKED, Int64, Recording
from app.index.statistics import Fired, interval_of

TOP = 20
SAMPLE = 5  # of each interval, of silent and of contrast sentences
_WALK = 64  # candidates that a walk looks at first


@dataclass(frozen=True)
class Choice:
    """What examples are chosen from. original: (n_windows,) whether a window is the first with its text.

    Repeats count in statistics but are never examples. A token's windows stand in token_places
    [token_bounds[t]:token_bounds[t + 1]], by their place in the draw order.
    """

    recording: Recording
    order: DrawOrder
    original: NDArray[np.bool_]
    token_ids: Int64
    token_bounds: Int64
    token_places: Int64


def prepare(recording: Recording, order: DrawOrder) -> Choice:
    original = recording.originals() == np.arange(recording.n_windows)
    kept = original[recording.window_of] & (np.asarray(recording.token_ids) != MASKED)
    ids = recording.token_ids[kept].astype(np.int64)
    places = order.place[recording.window_of[kept]]
    pairs = np.unique(ids * recording.n_windows + places)
    tokens, begins = np.unique(pairs // max(recording.n_windows, 1), return_index=True)
    return Choice(
        recording, order, original, tokens, np.append(begins, len(pairs)), pairs % max(recording.n_windows, 1)
    )


def choose(choice: Choice, feature: int, found: Fired, favourite: int | None) -> Iterator[NewExample]:
    """All examples of one feature. favourite: the token id it fires on most."""
    shown = np.flatnonzero(choice.original[found.sentences])
    strongest = shown[np.lexsort((found.sentences[shown], -found.peaks[shown]))[:TOP]]
    yield from _firing(feature, Group.TOP, found, strongest)
    if len(found.values):
        level = interval_of(found.peaks, float(found.values.max()), INTERVALS)
        for j, group in enumerate(INTERVAL_GROUPS):
            inside = shown[level[shown] == j]
            drawn = choice.order.first(feature, found.sentences[inside], SAMPLE)
            yield from _firing(feature, group, found, np.searchsorted(found.sentences, drawn))
    everywhere = _silent(choice, feature, found.sentences, None)
    for rank, sentence in enumerate(everywhere):
        yield NewExample(feature, Group.SILENT, rank, sentence, None, (), ())
    if favourite is not None:
        for rank, sentence in enumerate(_silent(choice, feature, found.sentences, favourite)):
            yield NewExample(feature, Group.CONTRAST, rank, sentence, _position(choice, sentence, favourite), (), ())


def _firing(feature: int, group: Group, found: Fired, chosen: Int64) -> Iterator[NewExample]:
    """chosen: which of found.sentences, in order of rank."""
    for rank, i in enumerate(chosen.tolist()):
        inside = slice(int(found.bounds[i]), int(found.bounds[i + 1]))
        yield NewExample(
            feature=feature,
            group=group,
            rank=rank,
            sentence=int(found.sentences[i]),
            peak=int(found.peak_positions[i]),
            positions=found.positions[inside].tolist(),
            values=found.values[inside].tolist(),
        )


def _silent(choice: Choice, feature: int, firing: Int64, token: int | None) -> list[int]:
    """The first SAMPLE sentences in the feature's draw that hold the token (None: any) and where it never fires.

    firing: ascending. The walk looks at few candidates first, and at twice as many each time they do not suffice.
    """
    entry = choice.order.entry(feature)
    if token is None:
        places = np.arange(len(choice.order.order))
    else:
        at = int(np.searchsorted(choice.token_ids, token))
        places = choice.token_places[choice.token_bounds[at] : choice.token_bounds[at + 1]]
    begin = int(np.searchsorted(places, entry))
    found: list[int] = []
    step, done = _WALK, 0
    while done < len(places) and len(found) < SAMPLE:
        n = min(step, len(places) - done)
        candidates = choice.order.order[places[(begin + done + np.arange(n)) % len(places)]]
        near = np.minimum(np.searchsorted(firing, candidates), max(len(firing) - 1, 0))
        fires = firing[near] == candidates if len(firing) else np.zeros(n, dtype=bool)
        found += candidates[~fires & choice.original[candidates]].tolist()
        done += n
        step *= 2
    return found[:SAMPLE]


def _position(choice: Choice, sentence: int, token: int) -> int:
    """Where the token first stands in the sentence."""
    starts = choice.recording.starts
    ids = choice.recording.token_ids[starts[sentence] : starts[sentence + 1]]
    return int(np.argmax(ids == token))
