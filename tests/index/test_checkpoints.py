"""Blocks that a build keeps: given back as they were, made anew where anything is wrong with them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.errors import Conflict
from app.index.build import open_recording
from app.index.checkpoints import Checkpoints
from app.index.identity import RECORDING


@dataclass(frozen=True)
class Inner:
    counts: NDArray[np.int64]
    values: NDArray[np.float32]


@dataclass(frozen=True)
class Block:
    inner: Inner
    bits: NDArray[np.uint8]


class Maker:
    """Counts how often it was asked."""

    def __init__(self) -> None:
        self.n = 0

    def __call__(self) -> Block:
        self.n += 1
        return Block(Inner(np.arange(6).reshape(2, 3), np.float32([0.1, np.nan])), np.zeros((2, 0), np.uint8))


def ask(folder: Path, seconds: float = 0, made_from: Any = None, first: int = 0) -> int:
    """How often a block had to be made: 0 where it was kept."""
    make = Maker()
    block = Checkpoints(folder, made_from or {"seed": 3}, seconds).once(Block, first, first + 2, make)
    assert block.inner.counts.dtype == np.int64
    assert block.inner.counts.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert block.inner.values.tobytes() == np.float32([0.1, np.nan]).tobytes()
    assert block.bits.shape == (2, 0)
    return make.n


def test_a_block_is_made_once(tmp_path: Path) -> None:
    assert [ask(tmp_path), ask(tmp_path), ask(tmp_path, first=2), ask(tmp_path, first=2)] == [1, 0, 1, 0]


def test_nothing_is_kept_before_its_time(tmp_path: Path) -> None:
    assert [ask(tmp_path, seconds=100), ask(tmp_path, seconds=100), ask(tmp_path)] == [1, 1, 1]
    assert ask(tmp_path, seconds=100) == 0


def test_what_was_made_from_something_else_is_made_anew(tmp_path: Path) -> None:
    ask(tmp_path)
    assert [ask(tmp_path, made_from={"seed": 4}), ask(tmp_path), ask(tmp_path)] == [1, 1, 0]


@pytest.mark.parametrize("damage", [b"", b"PK", None])
def test_a_damaged_file_is_made_anew(tmp_path: Path, damage: bytes | None) -> None:
    ask(tmp_path)
    (file,) = tmp_path.glob("*/*")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    assert [ask(tmp_path), ask(tmp_path)] == [1, 0]
    flipped = bytearray(whole)
    flipped[whole.index(np.float32(0.1).tobytes())] ^= 1
    file.write_bytes(flipped)
    assert [ask(tmp_path), ask(tmp_path)] == [1, 0]


def test_they_go_together(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "some", {}, 0)
    checkpoints.once(Block, 0, 2, Maker())
    checkpoints.remove()
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_build_of_another_version_is_named_as_such(tmp_path: Path) -> None:
    before = {"recording": RECORDING - 1, "model_weights": "told in another way"}
    now = {"recording": RECORDING, "model_weights": "told in this way"}
    open_recording(tmp_path / "recording", before, False, 1, False).checkpoint()
    with pytest.raises(Conflict, match=r"of another version of Featurescope .* --restart"):
        open_recording(tmp_path / "recording", now, False, 1, False)
    open_recording(tmp_path / "recording", now, True, 1, False).checkpoint()
    assert open_recording(tmp_path / "recording", now, False, 1, False).identity == now
