"""Tokens of an unusual norm: what is above the median of a whole recording."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.index.pieces import Piece
from app.index.recorded import Recording, part_of_folder
from app.index.recording import RecordingWriter
from tests.index.brute import Line
from tests.index.test_reduce import make_chunk


@pytest.mark.parametrize("n_chunks", [1, 2, 7])
@pytest.mark.parametrize("spread", [0.0, 1e-6, 1.0, 1e4], ids=["equal", "in the last bits", "usual", "wide"])
def test_the_median_is_exact_over_chunks_ties_and_special_tokens(tmp_path: Path, n_chunks: int, spread: float) -> None:
    draw = np.random.default_rng(n_chunks)
    writer = RecordingWriter(tmp_path, {}, 1, with_norms=True)
    counted = []
    for number in range(n_chunks):
        n_rows = int(draw.integers(1, 60))
        norms = (1 + spread * draw.integers(0, 200, n_rows)).astype(np.float32)
        ids = [None if masked else 3 for masked in draw.random(n_rows) < 0.2]
        norms[[token is None for token in ids]] *= 1000
        counted += [norm for norm, token in zip(norms.tolist(), ids, strict=True) if token is not None]
        chunk = make_chunk(number, number, [Line(number, ids, [[0.0]] * n_rows)])
        writer.append(replace(chunk, norms=norms))
        writer.finish_piece(Piece(number, [], 0))
    writer.complete()
    writer.close()
    median = sorted(counted)[(len(counted) - 1) // 2]
    assert outliers(tmp_path, 1.0) == sum(norm > median for norm in counted)
    assert outliers(tmp_path, 1 - 2**-23) == sum(norm >= median for norm in counted)


def outliers(folder: Path, above: float) -> int:
    """How many tokens have a norm above so many medians."""
    return Recording([part_of_folder(folder)], 1, outlier=above).n_outliers
