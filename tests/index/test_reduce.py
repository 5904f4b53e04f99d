"""A reduction against plain loops, over random corpora with ties, repeats, silent and always active features."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import Group
from app.engine.tokens import Window
from app.index import examples
from app.index.checkpoints import Checkpoints
from app.index.corpus import Record
from app.index.draw import DrawOrder
from app.index.pieces import Piece, Placed
from app.index.recorded import Recording, part_of_folder
from app.index.recording import MASKED, Chunk, RecordingWriter, sort_firings
from app.index.reduce import Reduced, reduce_firings
from app.store.example_blobs import PackedExamples
from app.store.example_packing import ExampleBlock
from tests.index.brute import Line, coactive, find

GROUPS = list(Group)
N_VOCABULARY = 4
# Few values, so that ties are common; and some that half floats could not hold.
VALUES = [float(np.float32(value)) for value in (0.5, 1.0, 1.0, 2.0, 3.25, 0.1, 70_000.0, 1e-6)]


@st.composite
def corpora(draw: Any, most_windows: int = 32) -> list[Line]:
    n_features = draw(st.integers(1, 5))
    # How often each feature fires: never, seldom, often, always.
    shares = [draw(st.sampled_from([0.0, 0.2, 0.7, 1.0])) for _ in range(n_features)]
    random = draw(st.randoms(use_true_random=False))
    lines = []
    for _ in range(draw(st.integers(1, most_windows))):
        ids = [random.choice([None, *range(N_VOCABULARY)]) for _ in range(random.randint(1, 6))]
        acts = [
            [random.choice(VALUES) if token is not None and random.random() < share else 0.0 for share in shares]
            for token in ids
        ]
        lines.append(Line(random.randint(0, 40), ids, acts))
    return lines


def write(folder: Path, lines: list[Line], sizes: list[int], wanted: Any = lambda piece: True) -> None:
    """The lines as a recording, in pieces of these numbers of windows, over and over; a piece is a chunk."""
    n_features = len(lines[0].acts[0])
    writer = RecordingWriter(folder, {}, n_features, with_norms=False)
    first, piece = 0, 0
    while first < len(lines):
        some = lines[first : first + sizes[piece % len(sizes)]]
        if wanted(piece):
            writer.append(make_chunk(piece, first, some))
            writer.finish_piece(Piece(piece, [], 0))
        first, piece = first + len(some), piece + 1
    writer.complete()
    writer.close()


def make_chunk(piece: int, first: int, lines: list[Line]) -> Chunk:
    acts = np.array([row for line in lines for row in line.acts], np.float32)
    rows, features = np.nonzero(acts)
    shuffled = np.random.default_rng(0).permutation(len(rows))
    ids = [MASKED if token is None else token for line in lines for token in line.ids]
    windows = [
        Placed(Window(f"text {line.text}", [], [], 0), first + i, Record("", {}, "", 0, 0))
        for i, line in enumerate(lines)
    ]
    return Chunk(
        piece=piece,
        n_bos=0,
        lengths=np.array([len(line.ids) for line in lines], np.uint32),
        token_ids=np.array(ids, np.uint32),
        rows=rows[shuffled],
        features=features[shuffled],
        values=acts[rows, features][shuffled],
        norms=None,
        windows=windows,
    )


class NoBar:
    def __init__(self, *_: object) -> None: ...

    def __enter__(self) -> "NoBar":
        return self

    def __exit__(self, *_: object) -> None: ...

    def update(self, _: int) -> None: ...


Examples = dict[tuple[int, Group], list[tuple[int, int, list[tuple[int, float]]]]]


def reduced(recording: Recording, seed: int, block_firings: int = 1_000_000) -> tuple[Reduced, Examples, DrawOrder]:
    """Twice, the second time from what the first one kept."""
    order = DrawOrder(seed, recording.n_windows, recording.n_features)
    with folder() as kept:
        for _ in range(2):
            blocks: list[ExampleBlock] = []
            checkpoints = Checkpoints(kept, {}, 0)
            found = reduce_firings(
                recording, order, torch.device("cpu"), blocks.append, NoBar, checkpoints, block_firings
            )
    shown_of: Examples = {}
    for block in blocks:
        for feature, packed in block.rows():
            own = PackedExamples(packed)
            for i in range(len(own.sentences)):
                shown = own.example(i)
                peak = -1 if shown.peak is None else shown.peak
                group = shown_of.setdefault((feature, GROUPS[own.group_of(i)]), [])
                group.append((shown.sentence, peak, list(shown.activations.items())))
    return found, shown_of, order


@contextmanager
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


@settings(deadline=None, max_examples=60)
@given(
    corpora(),
    st.lists(st.integers(1, 9), min_size=1, max_size=3),
    st.booleans(),
    st.integers(0, 3),
    st.sampled_from([1, 50, 1_000_000]),
)
def test_every_number_is_that_of_plain_loops(
    lines: list[Line], sizes: list[int], drop_repeats: bool, seed: int, block_firings: int
) -> None:
    with folder() as work:
        write(work, lines, sizes)
        recording = Recording([part_of_folder(work)], len(lines[0].acts[0]), drop_repeats)
        result, shown_of, order = reduced(recording, seed, block_firings)
    statistics = result.statistics
    every = [find(lines, f, order, drop_repeats) for f in range(recording.n_features)]
    texts = [line.text for line in lines]
    counted = [line for n, line in enumerate(lines) if not drop_repeats or line.text not in texts[:n]]
    assert recording.n_tokens == sum(token is not None for line in counted for token in line.ids)
    near = result.coactivation.neighbors(0, recording.n_features)
    for f, expected in enumerate(every):
        n = len(expected.values)
        assert statistics.n_tokens[f] == n
        assert statistics.n_sentences[f] == len(expected.peaks)
        assert statistics.maxima[f] == max(expected.values, default=0.0)
        assert statistics.means[f] == pytest.approx(sum(expected.values) / max(n, 1), rel=1e-12)
        pairs = zip(statistics.token_ids[f].tolist(), statistics.token_counts[f].tolist(), strict=True)
        assert [pair for pair in pairs if pair[1]] == expected.top_tokens
        if n:
            assert statistics.histogram[f].tolist() == expected.histogram
            assert statistics.quantiles[f].tolist() == expected.quantiles
            assert statistics.interval_tokens[f].tolist() == expected.interval_tokens
            assert statistics.interval_sentences[f].tolist() == expected.interval_sentences
        for group, shown in expected.examples.items():
            found = shown_of.get((f, group), [])
            assert [(sentence, peak) for sentence, peak, _ in found] == [(one.sentence, one.peak) for one in shown]
            for (_, _, firings), one in zip(found, shown, strict=True):
                assert [position for position, _ in firings] == [position for position, _ in one.firings]
                top = max((value for _, value in one.firings), default=0.0)
                assert [v for _, v in firings] == pytest.approx([v for _, v in one.firings], rel=5e-4, abs=top * 2e-9)
        together = zip(near.features[f].tolist(), near.values[f].tolist(), strict=True)
        shares = [(other, pytest.approx(share, rel=1e-6)) for other, share in coactive(every, f)]
        assert [(other, share) for other, share in together if share > 0] == shares


def test_contrasts_of_a_large_corpus_come_from_the_first_of_the_draw() -> None:
    pool, n_shown, n_features = 30, 5, 12
    random = Random(0)
    lines = []
    for number in range(90):
        ids = [random.randrange(N_VOCABULARY) for _ in range(6)]
        acts = [[1.0 if random.random() < 0.05 else 0.0 for _ in range(n_features)] for _ in ids]
        lines.append(Line(number % 80, list(ids), acts))
    with folder() as work, pytest.MonkeyPatch.context() as patch:
        patch.setattr(examples, "POOL", pool)
        write(work, lines, [2])
        _, shown, order = reduced(Recording([part_of_folder(work)], n_features), seed=0)
    texts = [line.text for line in lines]
    places = order.place.tolist()
    drawn = [n for n in range(len(lines)) if texts.index(texts[n]) == n and places[n] < pool]
    for f in range(n_features):
        found = find(lines, f, order, False)
        favourite = found.top_tokens[0][0]
        enters = int(order.entries[f]) * min(len(lines), pool) // len(lines)
        holding = [n for n in drawn if n not in found.peaks and favourite in lines[n].ids]
        assert len(holding) > n_shown
        holding.sort(key=lambda n: (places[n] < enters, places[n]))
        expected = [(one, lines[one].ids.index(favourite), []) for one in holding[:n_shown]]
        assert shown.get((f, Group.CONTRAST), []) == expected


@settings(deadline=None, max_examples=20)
@given(corpora(), st.lists(st.integers(1, 3), min_size=1, max_size=3), st.integers(1, 3), st.randoms())
def test_shards_in_any_order_give_the_same(lines: list[Line], sizes: list[int], n_shards: int, random: Any) -> None:
    n_features = len(lines[0].acts[0])
    with folder() as whole, folder() as split:
        write(whole, lines, sizes)
        numbers = list(range(n_shards))
        for shard in numbers:
            write(split / str(shard), lines, sizes, lambda piece, shard=shard: piece % n_shards == shard)
        random.shuffle(numbers)
        one = reduced(Recording([part_of_folder(whole)], n_features), 0)
        other = reduced(Recording([part_of_folder(split / str(n)) for n in numbers], n_features), 0)
    assert one[1] == other[1]
    for name, value in vars(one[0].statistics).items():
        assert np.array_equal(value, getattr(other[0].statistics, name)), name


def test_many_features_are_sorted_as_few_are(tmp_path: Path) -> None:
    """Above 2^17 features a feature, a row and a value no longer fit into 64 bits together."""
    n_features = (1 << 17) + 3
    features = np.array([n_features - 1, 5, 1 << 17, 5, 0], np.int64)
    chunk = Chunk(
        0,
        0,
        np.array([2], np.uint32),
        np.array([1, 2], np.uint32),
        np.array([1, 1, 0, 0, 1]),
        features,
        np.array([1, 2, 3, 4, 5], np.float32),
        None,
        [],
    )
    rows, values, counts = sort_firings(chunk, n_features)
    assert values.tolist() == [5, 4, 2, 3, 1]
    assert rows.tolist() == [1, 0, 1, 0, 1]
    assert np.flatnonzero(counts).tolist() == [0, 5, 1 << 17, n_features - 1]
