"""Live activations: alone or in a batch, they are what a plain forward and encode give."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from app.engine.activations import (
    LONG_STEP,
    Piece,
    encode_windows,
    is_small,
    most_tokens,
    n_products,
    of_about_one_length,
    pieces,
    reduce_window,
    run_pieces,
    threads_for,
)
from app.engine.hook_points import parse_hook_point
from app.engine.live_texts import KeptActivations, RunText, joined, live_text
from app.engine.loaded_models import Loaded
from app.engine.model_files import load_language_model
from app.engine.sae import load_sae
from app.engine.tokens import Window, windows
from app.live import Ranking
from app.scales import Scales
from tests.tiny import HOOK, N_FEATURES, Tiny

TEXTS = ("The match and the serve", "rain", "Ünïcödé 🎾 " * 12, "onion, pan and oven; " * 9)


@pytest.fixture(scope="module")
def loaded(tiny: Tiny) -> Loaded:
    model = load_language_model(str(tiny.model))
    return Loaded(model, load_sae(tiny.sae), parse_hook_point(HOOK), 32, (model.bos_id,), most_threads=1)


@pytest.fixture(scope="module")
def scales() -> Scales:
    values = np.linspace(0.2, 2.0, 4)[None, :] * np.arange(1, N_FEATURES + 1)[:, None] / 6
    return Scales(np.array([0.25, 0.5, 0.75, 1.0]), values, np.arange(N_FEATURES) * 10, n_tokens=5000)


def plain(loaded: Loaded, text: str) -> torch.Tensor:
    """(n_tokens, n_features), each window on its own."""
    found = []
    for window in windows(loaded.model.tokenizer, text, loaded.window_tokens):
        ids = torch.tensor([[*loaded.bos, *window.token_ids]])
        found.append(loaded.sae.encode(loaded.model.capture(ids, torch.ones_like(ids), loaded.hook)[0, 1:]))
    return torch.cat(found)


def run_text(cut: Sequence[Window], kept: Sequence[KeptActivations]) -> RunText:
    spans = [(window.offset + span.start, window.offset + span.end) for window in cut for span in window.spans]
    return RunText([start for start, _ in spans], [end for _, end in spans], joined(kept))


@pytest.fixture
def two_threads() -> Iterator[None]:
    usual = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(usual)


@pytest.mark.usefixtures("two_threads")
def test_a_long_step_takes_every_processor_and_a_short_one_leaves_them(loaded: Loaded) -> None:
    """most_threads 1: as FEATURESCOPE_THREADS=1 asks."""
    for most, products, threads in ((3, LONG_STEP, 3), (3, LONG_STEP - 1, 2), (1, LONG_STEP, 2)):
        with threads_for(replace(loaded, most_threads=most), products):
            assert torch.get_num_threads() == threads
        assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_a_batch_takes_them_by_its_tokens_and_weights_and_gives_them_back(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_of_them = replace(loaded, most_threads=3)
    cut = windows(loaded.model.tokenizer, TEXTS[0], loaded.window_tokens)
    n_products = (1 + len(cut[0].token_ids)) * (loaded.model.n_multiplied(loaded.hook) + loaded.sae.encoder.numel())
    seen: list[int] = []
    whole = loaded.model.capture
    monkeypatch.setattr(loaded.model, "capture", lambda *given: seen.append(torch.get_num_threads()) or whole(*given))
    for longest in (n_products, n_products + 1):
        monkeypatch.setattr("app.engine.activations.LONG_STEP", longest)
        encode_windows(all_of_them, cut)
    assert seen == [3, 2]
    assert torch.get_num_threads() == 2


def test_a_model_is_small_whose_whole_batch_is_a_short_step(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_small(loaded)
    products = n_products(loaded, most_tokens(loaded))
    monkeypatch.setattr("app.engine.activations.LONG_STEP", products + 1)
    assert is_small(loaded)
    monkeypatch.setattr("app.engine.activations.LONG_STEP", products)
    assert not is_small(loaded)


def test_a_forward_multiplies_by_the_blocks_up_to_the_hook(loaded: Loaded) -> None:
    blocks = [sum(p.numel() for p in block.parameters()) for block in loaded.model.blocks]
    assert loaded.model.n_multiplied(parse_hook_point("blocks.0.hook_resid_post")) == blocks[0]
    assert loaded.model.n_multiplied() == sum(blocks) + loaded.model.d_model * loaded.model.n_vocabulary


def test_who_else_is_in_the_batch_changes_no_answer(loaded: Loaded) -> None:
    every = [Piece(windows(loaded.model.tokenizer, text, loaded.window_tokens), N_FEATURES, [3]) for text in TEXTS]
    together = run_pieces(loaded, every)
    for piece, found, text in zip(every, together, TEXTS, strict=True):
        (alone,) = run_pieces(loaded, [piece])
        acts = plain(loaded, text)
        for one, other in zip(found, alone, strict=True):
            assert one.features.tolist() == other.features.tolist()
            assert np.abs(one.peaks - other.peaks).max() < 1e-5
            assert np.abs(one.top_values - other.top_values).max() < 1e-5
        assert np.concatenate([one.followed for one in found])[:, 0] == pytest.approx(acts[:, 3].numpy(), abs=1e-5)


def test_a_text_cut_into_windows_keeps_every_token_and_its_peaks(loaded: Loaded, scales: Scales) -> None:
    text = TEXTS[3]
    cut = windows(loaded.model.tokenizer, text, loaded.window_tokens)
    assert len(cut) > 1
    found = [
        window for piece in pieces(Piece(cut, 5, [7], firings=True), 40) for window in run_pieces(loaded, [piece])[0]
    ]
    live = live_text(text, run_text(cut, found), [7], scales, Ranking.MAX)
    acts = plain(loaded, text)
    assert "".join(token.text for token in live.tokens) == text
    assert [token.followed[0].activation for token in live.tokens] == pytest.approx(acts[:, 7].tolist(), abs=1e-5)
    peaks, places = acts.max(dim=0)
    assert live.of_first == pytest.approx(acts[:, live.ranked[0].peak.index].tolist(), abs=1e-5)
    assert [feature.peak.index for feature in live.ranked] == peaks.argsort(descending=True)[
        : len(live.ranked)
    ].tolist()
    for feature in live.ranked:
        assert feature.peak.position == places[feature.peak.index]
        assert feature.total == pytest.approx(float(acts[:, feature.peak.index].sum()), rel=1e-5)
        assert feature.n_tokens == int((acts[:, feature.peak.index] > 0).sum())


def test_rankings_put_first_what_they_say(loaded: Loaded, scales: Scales) -> None:
    cut = windows(loaded.model.tokenizer, TEXTS[2], loaded.window_tokens)
    found = [window for piece in pieces(Piece(cut, 5, []), 999) for window in run_pieces(loaded, [piece])[0]]
    by = {ranking: live_text(TEXTS[2], run_text(cut, found), [], scales, ranking).ranked for ranking in Ranking}
    totals = [feature.total for feature in by[Ranking.SUM]]
    assert totals == sorted(totals, reverse=True)
    as_strong = [max(1, feature.n_as_strong) for feature in by[Ranking.RARITY]]
    assert as_strong == sorted(as_strong)


def test_windows_are_grouped_without_much_padding() -> None:
    groups = of_about_one_length([3, 100, 4, 60, 2, 128])
    assert sorted(place for group in groups for place in group) == list(range(6))
    assert groups == [[5, 1], [3], [2, 0, 4]]


def test_of_equal_activations_the_first_feature_and_the_first_token_stand_first() -> None:
    found = reduce_window(
        torch.tensor([[0.0, 2.0, 2.0, 1e-30], [3.0, 2.0, 0.0, 1e30]]), Piece([], top_k=3, followed=[])
    )
    assert found.top_features.tolist() == [[1, 2, 3], [3, 0, 1]]
    assert found.features.tolist() == [0, 1, 2, 3]
    assert found.places.tolist() == [1, 0, 0, 1]
    assert found.counts.tolist() == [1, 2, 1, 2]


def test_where_nothing_fires_nothing_is_kept() -> None:
    found = reduce_window(torch.zeros(2, 4), Piece([], top_k=3, followed=[1]))
    assert found.top_values.tolist() == [[0.0] * 3] * 2
    assert len(found.features) == len(found.peaks) == len(found.sums) == len(found.counts) == 0
