"""A device whose memory is too small for a batch: the build goes on with smaller ones, and gives the same."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from app.errors import Invalid
from app.index import quality
from app.index.batches import Batches, ChunkTokens
from app.index.build import load, make_reader
from app.index.checkpoints import Checkpoints
from app.index.quality import measure
from tests.conftest import index_tiny, options_of
from tests.dumps import same_rows
from tests.tiny import Tiny


@contextmanager
def memory_for(n_positions: int) -> Iterator[list[int]]:
    """Forwards of more positions run out of memory. Gives how many positions each of these had."""
    refused: list[int] = []

    def check(module: torch.nn.Module, args: Any) -> None:
        if isinstance(module, torch.nn.Embedding) and args[0].numel() > n_positions:
            refused.append(args[0].numel())
            raise torch.OutOfMemoryError

    hook = register_module_forward_pre_hook(check)
    try:
        yield refused
    finally:
        hook.remove()


def test_the_batch_is_halved_once_and_every_number_is_the_same(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = tmp_path / "many.txt"
    corpus.write_text("\n".join(f"{text} {n}" for n in range(4) for text in tiny.texts[:42]), encoding="utf-8")
    told = {"corpus": [str(corpus)], "mask_outliers": 1.5}
    index_tiny(tiny, tmp_path / "x.db", **told)
    with memory_for(1800) as refused:
        index_tiny(tiny, tmp_path / "y.db", batch_tokens=2000, **told)
    assert len(refused) > 1
    said = capsys.readouterr().err
    assert said.count("memory is too small") == 1
    assert "going on with --batch-tokens 1000." in said
    assert same_rows(tmp_path / "x.db", tmp_path / "y.db")


def test_later_batches_are_small_from_the_start(tiny: Tiny) -> None:
    options = options_of(tiny, batch_tokens=2560)
    reader = make_reader(options, *load(options))
    lengths = np.full(80, 31)
    chunk = ChunkTokens([], lengths, np.full(80 * 31, 9, np.uint32), np.zeros(80 * 31, bool))
    with memory_for(2200) as refused, Batches(reader, False) as batches:
        parts = [part for future in batches.submit(chunk) for part in future.result()]
        assert refused == [80 * 32]
        parts += [part for future in batches.submit(chunk) for part in future.result()]
        assert len(refused) == 1
    assert len(np.concatenate([part.rows for part in parts])) == 2 * 80 * 31


def test_too_little_for_any_batch_is_said_with_what_to_do(tiny: Tiny, tmp_path: Path) -> None:
    with memory_for(1000) as refused, pytest.raises(Invalid, match=r"memory of cpu is too small .* --context"):
        index_tiny(tiny, tmp_path / "x.db", batch_tokens=4096)
    assert len(refused) == 3  # 4096, 2048, 1024


def test_quality_is_the_same_over_batches_that_were_halved(tiny: Tiny, tmp_path: Path) -> None:
    options = options_of(tiny)
    reader = make_reader(options, *load(options))
    whole = measure(reader, tiny.texts, Checkpoints(tmp_path / "whole", {}, 60))
    with memory_for(100) as refused:
        halved = measure(reader, tiny.texts, Checkpoints(tmp_path / "halved", {}, 60))
    assert refused
    assert halved.n_tokens == whole.n_tokens
    assert halved.explained_variance == pytest.approx(whole.explained_variance, rel=1e-6)
    assert halved.ce_recovered == pytest.approx(whole.ce_recovered, rel=1e-3)


def test_quality_reads_fewer_sentences_at_once_the_wider_their_logits(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = options_of(tiny)
    reader = make_reader(options, *load(options))
    monkeypatch.setattr(quality, "LOGITS", 2 * reader.context * reader.model.n_vocabulary)
    with memory_for(2 * reader.context) as refused:
        measure(reader, tiny.texts, Checkpoints(tmp_path, {}, 60))
    assert not refused


def test_too_little_for_a_sentence_or_for_the_check_before_is_said_too(tiny: Tiny, tmp_path: Path) -> None:
    options = options_of(tiny)
    reader = make_reader(options, *load(options))
    with memory_for(2), pytest.raises(Invalid, match=r"memory of cpu is too small .* --quality-tokens 0"):
        measure(reader, tiny.texts, Checkpoints(tmp_path, {}, 60))
    with memory_for(2), pytest.raises(Invalid, match=r"memory of cpu is too small .* --force"):
        index_tiny(tiny, tmp_path / "x.db", force=False)
