"""Whole builds of made-up SAEs and corpora, by a real model, against each sentence run alone and plain loops.

Every stored number. BUILDS=200 runs as many random ones in place of five that are always the
same, beside three of given kinds.
"""

import json
import math
import os
import random
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import Phase, assume, given, settings
from hypothesis import example as build
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from app.domain import FIRINGS, INTERVAL_GROUPS, Dictionary, Example, Feature, Group
from app.index.draw import DrawOrder
from app.store.database import Database
from app.store.examples import list_examples
from app.store.features import get_feature
from tests.conftest import index_tiny
from tests.engine.families import CONFIGS, disturb
from tests.index.brute import Found, coactive, find
from tests.index.brute import Line as BruteLine
from tests.index.plain import Line, Plain, PlainSae, originals, quality, quantile, run_plainly, statistics
from tests.tiny import N_FEATURES, Tiny, make_sae

pytestmark = pytest.mark.slow

BIASES = (-1000.0, -0.8, -0.3, 100.0)  # never fires, seldom, often, at every token
BUILDS = int(os.environ.get("BUILDS", "0"))
ROUNDING = 1e-4  # relative, between a sentence alone and one in a batch
LEAST = 1e-5  # absolute: ReLU gives numbers near 0, which are sums of much larger ones
Answers = list[tuple[Feature, dict[Group, Sequence[Example]]]]


@pytest.fixture(scope="module")
def gpt2(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """The tiny texts before a GPT-2: learned positions, norms that centre, biases, tied embeddings."""
    folder = tmp_path_factory.mktemp("gpt2") / "model"
    shutil.copytree(tiny.model, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    kind, size = CONFIGS["gpt2"]
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **size | {"vocab_size": 420, "bos_token_id": 0, "eos_token_id": 0})
    model = AutoModelForCausalLM.from_config(config)
    disturb(model)
    model.save_pretrained(folder)
    return replace(tiny, model=folder)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("random") / "x.db"


# The first three are always there, so that every kind of SAE and model is. What fails is not made smaller: that takes
# minutes, and a smaller seed says no more.
@settings(phases=[Phase.explicit, Phase.generate], deadline=None, max_examples=BUILDS or 5, derandomize=not BUILDS)
@build(seed=1, on_gpt2=True, architecture="topk", n_texts=12, context=24, batch_tokens=333, quality_tokens=60)
@build(seed=2, on_gpt2=True, architecture="standard", n_texts=12, context=9, batch_tokens=40, quality_tokens=60)
@build(seed=3, on_gpt2=False, architecture="topk", n_texts=20, context=30, batch_tokens=1, quality_tokens=1)
@given(
    seed=st.integers(0, 2**32 - 1),
    on_gpt2=st.booleans(),
    architecture=st.sampled_from(["jumprelu", "standard", "topk"]),
    n_texts=st.integers(1, 30),
    context=st.integers(2, 40),
    batch_tokens=st.sampled_from([1, 40, 333, 10_000]),
    quality_tokens=st.sampled_from([0, 1, 60]),
)
def test_every_number_is_that_of_sentences_run_alone(
    tiny: Tiny,
    gpt2: Tiny,
    database: Path,
    seed: int,
    on_gpt2: bool,
    architecture: str,
    n_texts: int,
    context: int,
    batch_tokens: int,
    quality_tokens: int,
) -> None:
    told = {"context": context, "batch_tokens": batch_tokens, "quality_tokens": quality_tokens}
    with TemporaryDirectory() as name:
        made = make_random(gpt2 if on_gpt2 else tiny, Path(name), random.Random(seed), architecture, n_texts)
        lines = run_plainly(made, context)
        # Rounding decides what fires at the threshold itself, and a batch rounds otherwise than a sentence alone.
        assume(not any(PlainSae(made.sae).is_near(line.x) for line in lines))
        built = index_tiny(made, database, replace=True, restart=True, **told)
        answers = read(database, built)
        weights = load_file(made.sae / "sae_weights.safetensors")
        order = DrawOrder(0, len(lines), N_FEATURES)
        check_quality(built, made, [lines[n] for n in order.order], context, quality_tokens)
    model = AutoModelForCausalLM.from_pretrained(made.model)
    check_whole(built, lines)
    numbers = {text: number for number, text in enumerate({line.text: None for line in lines})}
    plainly = [BruteLine(numbers[line.text], [*line.ids], line.acts.tolist()) for line in lines]
    every = [find(plainly, f, order, False) for f in range(N_FEATURES)]
    for feature, examples in answers:
        plain = statistics(lines, feature.index)
        check_firings(feature, plain, lines)
        check_metadata(feature, plain, lines)
        check_weights(feature, model, weights)
        check_examples(feature, examples, plain, every[feature.index])
        check_activations(feature, examples, lines)
        assert [(one.index, one.value) for one in feature.coactive] == [
            (other, pytest.approx(share, rel=1e-5)) for other, share in coactive(every, feature.index)
        ]


def make_random(tiny: Tiny, folder: Path, draw: random.Random, architecture: str, n_texts: int) -> Tiny:
    """An SAE whose last two features are equal (but for top-k, where only one might fire), and a corpus with repeats
    and texts of one token."""
    make_sae(folder / "sae", architecture=architecture, k=draw.randint(1, N_FEATURES - 1))
    file = folder / "sae" / "sae_weights.safetensors"
    weights = load_file(file)
    torch.manual_seed(draw.randrange(2**32))
    weights["W_enc"] = torch.randn_like(weights["W_enc"]) * 0.3
    weights["b_enc"] = torch.tensor([draw.choice(BIASES) for _ in range(N_FEATURES)])
    if architecture != "topk":
        weights["W_enc"][:, -1], weights["b_enc"][-1] = weights["W_enc"][:, -2], weights["b_enc"][-2]
    if architecture != "jumprelu":
        del weights["threshold"]
    save_file(weights, file)
    # A window may end inside a character of several bytes, whose halves alone are no text to compare.
    texts = [draw.choice([*filter(str.isascii, tiny.texts), "x", "y"]) for _ in range(n_texts)]
    corpus = folder / "corpus.jsonl"
    records = [{"text": text, "kind": kind_of(record)} for record, text in enumerate(texts)]
    corpus.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return replace(tiny, sae=folder / "sae", corpus=corpus, texts=texts)


def kind_of(record: int) -> str | None:
    """The metadata of a record: one of three values, or none."""
    return (None, "a", "b", "c")[record * 7 % 11 % 4]


def read(path: Path, dictionary: Dictionary) -> Answers:
    database = Database(f"sqlite:///{path}")
    with database.read() as session:
        answers = []
        for i in range(N_FEATURES):
            examples = {group: list_examples(session, dictionary, i, group, None, 50).items for group in Group}
            answers.append((get_feature(session, dictionary, i), examples))
    database.close()
    return answers


def check_whole(built: Dictionary, lines: list[Line]) -> None:
    active = [int((torch.cat([line.acts for line in lines])[:, f] > 0).sum()) for f in range(N_FEATURES)]
    assert built.n_tokens == sum(len(line.ids) for line in lines)
    assert (built.n_sentences, built.n_masked_tokens) == (len(lines), len(lines))
    assert built.n_duplicates == len(lines) - len(originals(lines))
    assert built.quality.l0 == pytest.approx(sum(active) / built.n_tokens)
    assert built.quality.dead_share == pytest.approx(active.count(0) / N_FEATURES)
    assert built.quality.dense_share == pytest.approx(sum(n > 0.1 * built.n_tokens for n in active) / N_FEATURES)
    logs = [math.log10(n / built.n_tokens) for n in active if n]
    edges = built.density_histogram.edges
    bars = [max(j for j in range(len(edges) - 1) if j == 0 or edges[j] < log) for log in logs]
    assert built.density_histogram.counts == [bars.count(j) for j in range(len(edges) - 1)]


def check_quality(built: Dictionary, made: Tiny, drawn: list[Line], context: int, quality_tokens: int) -> None:
    """drawn: all lines in the order of the draw; those are read that first hold the tokens asked for."""
    if quality_tokens == 0:
        assert (built.quality.explained_variance, built.quality.ce_recovered) == (None, None)
        return
    n_tokens = [*accumulate(len(line.ids) for line in drawn)]
    read_to = next((n for n, reached in enumerate(n_tokens, 1) if reached >= quality_tokens), len(drawn))
    plain = quality(made, [line.text for line in drawn[:read_to]], context)
    clean, spliced, zeroed = plain.losses
    assert built.quality.n_tokens_sampled == plain.n_tokens
    if plain.variance < 1e-9:  # a single token, or one over and over
        assert built.quality.explained_variance is None
    else:
        assert built.quality.explained_variance == pytest.approx(1 - plain.error / plain.variance, rel=1e-3, abs=1e-3)
    if abs(zeroed - clean) < 1e-6:  # nothing is predicted from a token that was changed
        assert built.quality.ce_recovered is None
    else:
        assert built.quality.ce_recovered == pytest.approx(
            (zeroed - spliced) / (zeroed - clean), rel=1e-3, abs=1e-5 * clean / abs(zeroed - clean)
        )


def check_firings(feature: Feature, plain: Plain, lines: list[Line]) -> None:
    assert (feature.n_active_tokens, feature.n_active_sentences) == (len(plain.values), len(plain.firing_in))
    top_tokens = sorted(plain.tokens.items(), key=lambda item: (-item[1], item[0]))[:10]
    everywhere = Counter(token for line in lines for token in line.ids)
    assert [(token.token_id, token.n, token.n_occurrences) for token in feature.top_tokens] == [
        (token, n, everywhere[token]) for token, n in top_tokens
    ]
    times = [(lines[n].acts[:, feature.index] > 0).tolist() for n in plain.firing_in]
    assert feature.n_first == sum(fires[0] for fires in times)
    assert feature.n_last == sum(fires[-1] for fires in times)
    if not plain.values:
        assert (feature.max_activation, feature.mean_activation) == (0, 0)
        assert [*feature.histogram.counts, *feature.quantiles, *feature.intervals, *feature.per_sentence] == []
        return
    classes = [sum(least <= sum(fires) for least in FIRINGS) - 1 for fires in times]
    assert list(feature.per_sentence) == [classes.count(j) for j in range(len(FIRINGS))]
    assert feature.max_activation == pytest.approx(max(plain.values), rel=ROUNDING, abs=LEAST)
    assert feature.mean_activation == pytest.approx(sum(plain.values) / len(plain.values), rel=ROUNDING, abs=LEAST)
    assert [known.value for known in feature.quantiles] == [
        pytest.approx(quantile(plain.values, known.share), rel=ROUNDING, abs=LEAST) for known in feature.quantiles
    ]
    check_counts(feature.histogram.counts, plain.values)
    check_counts([interval.n_tokens for interval in feature.intervals], plain.values)
    check_counts([interval.n_sentences for interval in feature.intervals], list(plain.peaks.values()), plain.values)


def check_counts(counts: Sequence[int], values: list[float], of: list[float] | None = None) -> None:
    """How many lie in each of equal widths; one at an edge, but for rounding, may be on either side of it."""
    top, so_far = max(of or values), 0
    for j, n in enumerate(counts, 1):
        edge, so_far = j * top / len(counts), so_far + n
        margin = edge * ROUNDING + LEAST
        least = sum(value <= edge - margin for value in values)
        assert least <= so_far <= sum(value <= edge + margin for value in values)
    assert so_far == len(values)


def check_metadata(feature: Feature, plain: Plain, lines: list[Line]) -> None:
    kinds = [kind_of(line.record) for line in lines]
    known = list(dict.fromkeys(kind for kind in kinds if kind))
    if len(known) >= len(lines) - kinds.count(None):
        assert feature.metadata == []
        return
    here = [kinds[n] for n in plain.firing_in]
    found = sorted((kind for kind in known if kind in here), key=lambda kind: (-here.count(kind), known.index(kind)))
    assert [(one.field, one.value, one.n, one.share, one.base) for one in feature.metadata] == [
        ("kind", kind, n := here.count(kind), n / len(here), pytest.approx(kinds.count(kind) / len(lines), rel=1e-5))
        for kind in found
    ]


def check_weights(feature: Feature, model: Any, weights: dict[str, torch.Tensor]) -> None:
    f = feature.index
    encoder, decoder = weights["W_enc"].T, weights["W_dec"]
    assert feature.decoder_norm == pytest.approx(float(decoder[f].norm()), rel=1e-5)
    cosine = torch.nn.functional.cosine_similarity(encoder[f], decoder[f], dim=0)
    assert feature.encoder_cosine == pytest.approx(float(cosine), abs=1e-5)
    is_gpt2 = hasattr(model, "transformer")
    norm = model.transformer.ln_f if is_gpt2 else model.model.norm
    direction = decoder[f] - decoder[f].mean() if is_gpt2 else decoder[f]
    logits = (model.lm_head.weight.detach() @ (direction * norm.weight.detach())).tolist()
    check_extremes([(one.token_id, one.logit) for one in feature.promoted], dict(enumerate(logits)), True)
    check_extremes([(one.token_id, one.logit) for one in feature.suppressed], dict(enumerate(logits)), False)
    unit = torch.nn.functional.normalize(decoder, dim=1)
    cosines = {other: value for other, value in enumerate((unit @ unit[f]).tolist()) if other != f}
    check_extremes([(one.index, one.value) for one in feature.similar], cosines, True)
    check_extremes([(one.index, one.value) for one in feature.opposite], cosines, False)


def check_extremes(found: list[tuple[int, float]], every: dict[int, float], largest: bool) -> None:
    """The ten largest or smallest, strongest first; which of two that are equal but for rounding does not matter."""
    assert [value for _, value in found] == pytest.approx(sorted(every.values(), reverse=largest)[:10], abs=1e-5)
    assert [value for _, value in found] == pytest.approx([every[which] for which, _ in found], abs=1e-5)
    assert len({which for which, _ in found}) == 10


def check_examples(feature: Feature, examples: dict[Group, Sequence[Example]], plain: Plain, found: Found) -> None:
    """The very sentences that the order of the draw gives, but where rounding decides between two."""
    shown = {group: [example.sentence for example in items] for group, items in examples.items()}
    strongest = [plain.peaks[one.sentence] for one in found.examples[Group.TOP]]
    assert [plain.peaks[n] for n in shown[Group.TOP]] == pytest.approx(strongest, rel=ROUNDING, abs=LEAST)
    top = max(plain.values, default=0.0)
    at_edge = any(
        abs(peak * 5 / top - j) < 5 * (ROUNDING + LEAST / top) for peak in plain.peaks.values() for j in range(1, 5)
    )
    for group, expected in found.examples.items():
        if group is not Group.TOP and not (at_edge and group in INTERVAL_GROUPS):
            assert shown[group] == [one.sentence for one in expected]
    for example, one in zip(examples[Group.CONTRAST], found.examples[Group.CONTRAST], strict=True):
        assert example.peak is not None
        assert example.peak.position == one.peak


def check_activations(feature: Feature, examples: dict[Group, Sequence[Example]], lines: list[Line]) -> None:
    for group, items in examples.items():
        for example in items:
            line = lines[example.sentence]
            expected = line.acts[:, feature.index]
            values = torch.tensor([token.activation for token in example.tokens])
            assert example.text == line.text
            assert torch.allclose(values, expected, rtol=1e-3, atol=LEAST)
            if group not in (Group.SILENT, Group.CONTRAST):
                assert example.peak is not None
                assert example.peak.activation == pytest.approx(float(expected.max()), rel=1e-3, abs=LEAST)
                assert float(expected[example.peak.position]) == pytest.approx(
                    float(expected.max()), rel=ROUNDING, abs=LEAST
                )
