"""Whole builds of made-up SAEs and corpora, by a real model, against each sentence run alone and plain loops."""

import json
import random
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from app.domain import Dictionary, Feature, Group
from app.store.database import Database
from app.store.examples import list_examples
from app.store.features import get_feature
from tests.conftest import index_tiny
from tests.index.plain import Line, fifth, originals, quantile, run_plainly, statistics
from tests.tiny import N_FEATURES, Tiny, make_sae

pytestmark = pytest.mark.slow

THRESHOLD = 0.2
BIASES = (-1000.0, -0.8, -0.3, 100.0)  # never fires, seldom, often, at every token
Answers = list[tuple[Feature, dict[Group, list[int]]]]


@settings(deadline=None, max_examples=5, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_texts=st.integers(1, 30),
    context=st.integers(2, 40),
    batch_tokens=st.sampled_from([1, 40, 333, 10_000]),
)
def test_every_number_is_that_of_sentences_run_alone(
    tiny: Tiny, seed: int, n_texts: int, context: int, batch_tokens: int
) -> None:
    with TemporaryDirectory() as name:
        made = make_random(tiny, Path(name), random.Random(seed), n_texts)
        lines = run_plainly(made, context)
        # Rounding decides what fires at the threshold itself, and a batch rounds otherwise than a sentence alone.
        assume(all(not ((line.acts > 0) & (line.acts < THRESHOLD + 1e-5)).any() for line in lines))
        path = Path(name) / "x.db"
        built = index_tiny(made, path, context=context, batch_tokens=batch_tokens, quality_tokens=0)
        answers = read(path, built)
    assert built.n_tokens == sum(len(line.ids) for line in lines)
    assert (built.n_sentences, built.n_masked_tokens) == (len(lines), len(lines))
    assert built.n_duplicates == len(lines) - len(originals(lines))
    for feature, examples in answers:
        check(feature, examples, lines)


def make_random(tiny: Tiny, folder: Path, draw: random.Random, n_texts: int) -> Tiny:
    """An SAE whose last two features are equal, and a corpus with repeats and texts of one token."""
    make_sae(folder / "sae")
    file = folder / "sae" / "sae_weights.safetensors"
    weights = load_file(file)
    torch.manual_seed(draw.randrange(2**32))
    weights["W_enc"] = torch.randn_like(weights["W_enc"]) * 0.3
    weights["b_enc"] = torch.tensor([draw.choice(BIASES) for _ in range(N_FEATURES)])
    weights["W_enc"][:, -1], weights["b_enc"][-1] = weights["W_enc"][:, -2], weights["b_enc"][-2]
    save_file(weights, file)
    texts = [draw.choice([*tiny.texts, "x", "y"]) for _ in range(n_texts)]
    corpus = folder / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return replace(tiny, sae=folder / "sae", corpus=corpus, texts=texts)


def read(path: Path, dictionary: Dictionary) -> Answers:
    database = Database(f"sqlite:///{path}")
    with database.read() as session:
        answers = []
        for i in range(N_FEATURES):
            pages = {group: list_examples(session, dictionary, i, group, None, 50).items for group in Group}
            sentences = {group: [example.sentence for example in items] for group, items in pages.items()}
            answers.append((get_feature(session, dictionary, i), sentences))
    database.close()
    return answers


def check(feature: Feature, examples: dict[Group, list[int]], lines: list[Line]) -> None:
    plain, kept = statistics(lines, feature.index), originals(lines)
    assert (feature.n_active_tokens, feature.n_active_sentences) == (len(plain.values), len(plain.firing_in))
    top_tokens = sorted(plain.tokens.items(), key=lambda item: (-item[1], item[0]))[:10]
    assert [(token.token_id, token.n) for token in feature.top_tokens] == top_tokens
    assert len(examples[Group.SILENT]) == min(5, len(kept - plain.firing_in))
    assert set(examples[Group.SILENT]) <= kept - plain.firing_in
    if not plain.values:
        assert all(not found for group, found in examples.items() if group != Group.SILENT)
        return
    assert feature.max_activation == pytest.approx(max(plain.values), rel=1e-4)
    assert feature.mean_activation == pytest.approx(sum(plain.values) / len(plain.values), rel=1e-4)
    assert [known.value for known in feature.quantiles] == [
        pytest.approx(quantile(plain.values, known.share), rel=1e-3) for known in feature.quantiles
    ]
    assert sum(feature.histogram.counts) == len(plain.values)
    assert sum(interval.n_sentences for interval in feature.intervals) == len(plain.firing_in)
    strongest = sorted((plain.peaks[n] for n in plain.firing_in & kept), reverse=True)[:20]
    assert [plain.peaks[n] for n in examples[Group.TOP]] == pytest.approx(strongest, rel=1e-3)
    assert fifth(plain.peaks[examples[Group.TOP][0]], max(plain.values) * (1 + 1e-3)) == 5
    possible = {n for n in kept - plain.firing_in if feature.top_tokens[0].token_id in lines[n].ids}
    assert set(examples[Group.CONTRAST]) <= possible
    assert len(examples[Group.CONTRAST]) == min(5, len(possible))
