"""Whole builds of made-up SAEs and corpora, by a real model, against each sentence run alone and plain loops.

Every stored number. BUILDS=200 runs as many random ones in place of the five that are always the same.
"""

import json
import math
import os
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM

from app.domain import FIRINGS, INTERVAL_GROUPS, Dictionary, Example, Feature, Group
from app.index.draw import DrawOrder
from app.store.database import Database
from app.store.examples import list_examples
from app.store.features import get_feature
from tests.conftest import index_tiny
from tests.index.brute import Found, coactive, find
from tests.index.brute import Line as BruteLine
from tests.index.plain import Line, Plain, originals, quantile, run_plainly, statistics
from tests.tiny import N_FEATURES, Tiny, make_sae

pytestmark = pytest.mark.slow

THRESHOLD = 0.2
BIASES = (-1000.0, -0.8, -0.3, 100.0)  # never fires, seldom, often, at every token
BUILDS = int(os.environ.get("BUILDS", "0"))
ROUNDING = 1e-4  # relative, between a sentence alone and one in a batch
Answers = list[tuple[Feature, dict[Group, Sequence[Example]]]]


@settings(deadline=None, max_examples=BUILDS or 5, derandomize=not BUILDS)
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
        weights = load_file(made.sae / "sae_weights.safetensors")
    model = LlamaForCausalLM.from_pretrained(tiny.model)
    check_whole(built, lines)
    numbers = {text: number for number, text in enumerate({line.text: None for line in lines})}
    plainly = [BruteLine(numbers[line.text], [*line.ids], line.acts.tolist()) for line in lines]
    order = DrawOrder(0, len(lines), N_FEATURES)
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
    assert feature.max_activation == pytest.approx(max(plain.values), rel=ROUNDING)
    assert feature.mean_activation == pytest.approx(sum(plain.values) / len(plain.values), rel=ROUNDING)
    assert [known.value for known in feature.quantiles] == [
        pytest.approx(quantile(plain.values, known.share), rel=ROUNDING) for known in feature.quantiles
    ]
    check_counts(feature.histogram.counts, plain.values)
    check_counts([interval.n_tokens for interval in feature.intervals], plain.values)
    check_counts([interval.n_sentences for interval in feature.intervals], list(plain.peaks.values()), plain.values)


def check_counts(counts: Sequence[int], values: list[float], of: list[float] | None = None) -> None:
    """How many lie in each of equal widths; one at an edge, but for rounding, may be on either side of it."""
    top, so_far = max(of or values), 0
    for j, n in enumerate(counts, 1):
        edge, so_far = j * top / len(counts), so_far + n
        least = sum(value <= edge * (1 - ROUNDING) for value in values)
        assert least <= so_far <= sum(value <= edge * (1 + ROUNDING) for value in values)
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


def check_weights(feature: Feature, model: LlamaForCausalLM, weights: dict[str, torch.Tensor]) -> None:
    f = feature.index
    encoder, decoder = weights["W_enc"].T, weights["W_dec"]
    assert feature.decoder_norm == pytest.approx(float(decoder[f].norm()), rel=1e-5)
    cosine = torch.nn.functional.cosine_similarity(encoder[f], decoder[f], dim=0)
    assert feature.encoder_cosine == pytest.approx(float(cosine), abs=1e-5)
    logits = (model.lm_head.weight.detach() @ (decoder[f] * model.model.norm.weight.detach())).tolist()
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
    assert [plain.peaks[n] for n in shown[Group.TOP]] == pytest.approx(strongest, rel=ROUNDING)
    top = max(plain.values, default=0.0)
    at_edge = any(abs(peak * 5 / top - j) < 5 * ROUNDING for peak in plain.peaks.values() for j in range(1, 5))
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
            assert torch.allclose(values, expected, rtol=1e-3, atol=0)
            if group not in (Group.SILENT, Group.CONTRAST):
                assert example.peak is not None
                assert example.peak.activation == pytest.approx(float(expected.max()), rel=1e-3)
                assert float(expected[example.peak.position]) == pytest.approx(float(expected.max()), rel=ROUNDING)
