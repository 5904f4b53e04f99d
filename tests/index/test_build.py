"""An index against the slow computation of the same thing, at several batch sizes; and what a build leaves behind."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from app.domain import INTERVAL_GROUPS, Dictionary, Example, Feature, Group
from app.errors import Conflict, Invalid
from app.store.database import Database
from app.store.dictionaries import list_dictionaries
from app.store.examples import list_examples
from app.store.features import get_feature
from tests.conftest import index_tiny
from tests.dumps import same_rows
from tests.index.plain import Line, fifth, histogram, originals, quantile, run_plainly, statistics
from tests.tiny import DEAD, N_FEATURES, Tiny


@pytest.fixture(scope="module")
def lines(tiny: Tiny) -> list[Line]:
    return run_plainly(tiny)


@pytest.fixture(scope="module")
def reference(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reference") / "x.db"
    index_tiny(tiny, path, batch_tokens=777)
    return path


class Built:
    """One build, read back through the store."""

    def __init__(self, path: Path, dictionary: Dictionary) -> None:
        self.dictionary = dictionary
        database = Database(f"sqlite:///{path}")
        with database.read() as session:
            self.features = [get_feature(session, dictionary, i) for i in range(N_FEATURES)]
            self.examples = {
                (i, group): list(list_examples(session, dictionary, i, group, None, 50).items)
                for i in range(N_FEATURES)
                for group in Group
            }
        database.close()


@pytest.fixture(scope="module", params=[32, 97, 100_000], ids=lambda n: f"{n} tokens a batch")
def built(request: pytest.FixtureRequest, tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Built:
    path = tmp_path_factory.mktemp("built") / "x.db"
    return Built(path, index_tiny(tiny, path, batch_tokens=request.param))


def test_tokens_and_sentences_are_counted_without_bos(built: Built, lines: list[Line]) -> None:
    assert built.dictionary.n_tokens == sum(len(line.ids) for line in lines)
    assert built.dictionary.n_sentences == len(lines)
    assert built.dictionary.n_masked_tokens == len(lines)  # one BOS a window
    assert built.dictionary.n_duplicates == len(lines) - len(originals(lines))


def test_counts_and_activations_of_every_feature(built: Built, lines: list[Line]) -> None:
    for feature in built.features:
        plain = statistics(lines, feature.index)
        assert feature.n_active_tokens == len(plain.values)
        assert feature.n_active_sentences == len(plain.firing_in)
        assert feature.density == len(plain.values) / built.dictionary.n_tokens
        if plain.values:
            assert feature.max_activation == pytest.approx(max(plain.values), rel=1e-5)
            assert feature.mean_activation == pytest.approx(sum(plain.values) / len(plain.values), rel=1e-5)
            assert feature.histogram.counts == histogram(plain.values, 20)
            for known in feature.quantiles:
                assert known.value == pytest.approx(quantile(plain.values, known.share), rel=1e-5)


def test_a_feature_that_never_fires_has_no_statistics(built: Built) -> None:
    dead = built.features[DEAD]
    assert (dead.n_active_tokens, dead.max_activation, list(dead.top_tokens)) == (0, 0.0, [])
    assert (list(dead.histogram.counts), list(dead.quantiles), list(dead.intervals)) == ([], [], [])
    assert built.examples[DEAD, Group.TOP] == []
    assert len(built.examples[DEAD, Group.SILENT]) == 5


def test_top_tokens_are_the_most_frequent_with_their_shares(built: Built, lines: list[Line]) -> None:
    for feature in built.features:
        plain = statistics(lines, feature.index)
        expected = sorted(plain.tokens.items(), key=lambda item: (-item[1], item[0]))[:10]
        assert [(t.token_id, t.n) for t in feature.top_tokens] == expected
        assert [t.share for t in feature.top_tokens] == [pytest.approx(n / len(plain.values)) for _, n in expected]


def test_top_examples_are_the_sentences_with_the_highest_peaks(built: Built, lines: list[Line]) -> None:
    kept = originals(lines)
    for feature in built.features:
        plain = statistics(lines, feature.index)
        peaks = [plain.peaks[n] for n in plain.peaks if n in kept]
        found = built.examples[feature.index, Group.TOP]
        # Sentences that begin alike have equal peaks but for rounding, so peaks are compared and not numbers.
        shown = [plain.peaks[example.sentence] for example in found]
        assert shown == pytest.approx(sorted(peaks, reverse=True)[:20], rel=1e-4)
        assert len({example.sentence for example in found}) == len(found)
        for example in found:
            _activations_agree(example, lines[example.sentence], feature)


def test_interval_examples_come_from_their_fifth_and_counts_add_up(built: Built, lines: list[Line]) -> None:
    kept = originals(lines)
    for feature in built.features:
        plain = statistics(lines, feature.index)
        for j, group in enumerate(INTERVAL_GROUPS, 1):
            if not plain.values:
                assert built.examples[feature.index, group] == []
                continue
            inside = {n for n, peak in plain.peaks.items() if fifth(peak, max(plain.values)) == j}
            interval = feature.intervals[j - 1]
            assert interval.n_sentences == len(inside)
            assert interval.n_tokens == sum(fifth(value, max(plain.values)) == j for value in plain.values)
            drawn = [example.sentence for example in built.examples[feature.index, group]]
            assert set(drawn) <= inside & kept
            assert len(drawn) == len(set(drawn)) == min(5, len(inside & kept))


def test_silent_and_contrast_examples_are_silent(built: Built, lines: list[Line]) -> None:
    kept = originals(lines)
    for feature in built.features:
        plain = statistics(lines, feature.index)
        silent = [example.sentence for example in built.examples[feature.index, Group.SILENT]]
        assert len(silent) == min(5, len(kept - plain.firing_in))
        assert not set(silent) & plain.firing_in
        contrast = built.examples[feature.index, Group.CONTRAST]
        if not plain.values:
            assert contrast == []
            continue
        favourite = feature.top_tokens[0].token_id
        possible = {n for n in kept - plain.firing_in if favourite in lines[n].ids}
        assert {example.sentence for example in contrast} <= possible
        assert len(contrast) == min(5, len(possible))


def test_quality_counts(built: Built, lines: list[Line]) -> None:
    active = sum(int((line.acts > 0).sum()) for line in lines)
    dense = sum(len(statistics(lines, i).values) / built.dictionary.n_tokens > 0.1 for i in range(N_FEATURES))
    quality = built.dictionary.quality
    assert quality.l0 == pytest.approx(active / built.dictionary.n_tokens)
    assert quality.dead_share == pytest.approx(1 / N_FEATURES)
    assert quality.dense_share == pytest.approx(dense / N_FEATURES)


def test_coactive_neighbours_are_those_that_share_sentences(built: Built, lines: list[Line]) -> None:
    firing = [statistics(lines, i).firing_in for i in range(N_FEATURES)]
    for feature in built.features:
        here = firing[feature.index]
        jaccard = {
            other: len(here & there) / len(here | there)
            for other, there in enumerate(firing)
            if other != feature.index and here & there
        }
        expected = sorted(jaccard.items(), key=lambda item: (-item[1], item[0]))[:10]
        assert [(n.index, pytest.approx(n.value, rel=1e-5)) for n in feature.coactive] == expected


@pytest.mark.parametrize("batch_tokens", [40, 512, 2000, 4096])
def test_batch_size_changes_nothing(tiny: Tiny, tmp_path: Path, reference: Path, batch_tokens: int) -> None:
    path = tmp_path / "x.db"
    index_tiny(tiny, path, batch_tokens=batch_tokens)
    assert same_rows(path, reference)


def test_repeats_count_nowhere_when_asked(tiny: Tiny, lines: list[Line], tmp_path: Path) -> None:
    made = index_tiny(tiny, tmp_path / "x.db", dedup=True)
    kept = originals(lines)
    assert made.n_tokens == sum(len(lines[n].ids) for n in kept)
    assert made.n_duplicates == len(lines) - len(kept)


def test_tokens_of_an_unusual_norm_count_nowhere_when_asked(tiny: Tiny, lines: list[Line], tmp_path: Path) -> None:
    norms = torch.cat([line.norms for line in lines])
    usual = norms <= 1.1 * norms.median()  # of two in the middle the lower one, as torch has it
    acts = torch.cat([line.acts for line in lines])[usual]
    built = Built(tmp_path / "x.db", index_tiny(tiny, tmp_path / "x.db", mask_outliers=1.1))
    assert 0 < (~usual).sum() < len(usual) / 2
    assert built.dictionary.n_tokens == int(usual.sum())
    for feature in built.features:
        values = acts[:, feature.index]
        assert feature.n_active_tokens == int((values > 0).sum())
        assert feature.max_activation == pytest.approx(float(values.max()), rel=1e-5)


def test_a_sample_and_a_limit_read_part_of_the_corpus(tiny: Tiny, lines: list[Line], tmp_path: Path) -> None:
    limited = index_tiny(tiny, tmp_path / "limited.db", max_tokens=200)
    assert 200 <= limited.n_tokens < 200 + 31
    sampled = index_tiny(tiny, tmp_path / "sampled.db", sample=0.5)
    assert 0.2 * len(lines) < sampled.n_sentences < 0.8 * len(lines)


def test_long_sentences_become_windows_that_join_to_the_text(tiny: Tiny, built: Built, lines: list[Line]) -> None:
    path = Path(built.dictionary.corpus[0])
    assert path.name == "corpus.jsonl"
    long = max(tiny.texts, key=len)
    n_windows = -(-len(AutoTokenizer.from_pretrained(tiny.model)(long, add_special_tokens=False)["input_ids"]) // 31)
    assert n_windows > 1
    assert "".join(line.text for line in lines[-n_windows:]) == long


def test_every_token_of_an_example_is_its_span(built: Built) -> None:
    for examples in built.examples.values():
        for example in examples:
            assert "".join(token.text for token in example.tokens) == example.text
            assert all(token.text == example.text[token.start : token.end] for token in example.tokens)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hook": "blocks.9.hook_resid_pre"}, "layers 0 to 2"),
        ({"hook": "resid"}, "is not a hook point"),
        ({"context": 65}, "takes 2 to 64 tokens"),
        ({"model": "/nowhere/at/all"}, "no model at /nowhere/at/all"),
        ({"sae": "/nowhere/at/all"}, "/nowhere/at/all"),
        ({"corpus": ["/nowhere.txt"]}, "no corpus file /nowhere.txt"),
        ({"id": "a/b"}, "cannot be an id"),
    ],
)
def test_bad_input_says_what_is_wrong_and_leaves_nothing(
    tiny: Tiny, tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    with pytest.raises(Invalid, match=says):
        index_tiny(tiny, tmp_path / "x.db", **change)
    database = Database(f"sqlite:///{tmp_path / 'x.db'}")
    with database.read() as session:
        assert list_dictionaries(session) == []
    database.close()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.txt", b"", "empty.txt is empty"),
        ("blank.txt", b"\n  \n\n", "only blank lines"),
        ("latin.txt", "one\ncaf\u00e9\n".encode("latin-1"), "latin.txt.*line 2"),
        ("broken.jsonl", b'{"text": "fine"}\n{"text": \n', "line 2"),
        ("other.jsonl", b'{"text": "fine"}\n{"body": "x"}\n', "line 2.*text"),
        ("half.jsonl", b'{"text": "fine"}\n{"text": "\\ud800"}\n', "line 2"),
        ("book.pdf", b"x", "ends in"),
    ],
)
def test_a_bad_corpus_is_refused_with_file_and_line(
    tiny: Tiny, tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(Invalid, match=says):
        index_tiny(tiny, tmp_path / "x.db", corpus=[str(file)])


@pytest.mark.slow
def test_a_megabyte_of_one_sentence_is_windows_and_loses_nothing(tiny: Tiny, tmp_path: Path) -> None:
    text = "the court and the player serve مرحبا 🎾 e\u0301 " * 20_000
    corpus = tmp_path / "one.jsonl"
    corpus.write_text(json.dumps({"text": text}))
    assert corpus.stat().st_size > 1_000_000
    made = index_tiny(tiny, tmp_path / "x.db", corpus=[str(corpus)], context=64, batch_tokens=8192, quality_tokens=0)
    tokenizer = AutoTokenizer.from_pretrained(tiny.model)
    assert made.n_tokens == len(tokenizer(text, add_special_tokens=False)["input_ids"])
    database = Database(f"sqlite:///{tmp_path / 'x.db'}")
    with database.read() as session:
        (example, *_) = list_examples(session, made, 3, Group.TOP, None, 1).items
    database.close()
    assert text[example.offset : example.offset + len(example.text)] == example.text


def test_a_sentence_that_gives_nan_is_named(tiny: Tiny, tmp_path: Path) -> None:

    broken = tmp_path / "sae"
    broken.mkdir()
    weights = load_file(tiny.sae / "sae_weights.safetensors")
    weights["W_enc"][0, 0] = torch.nan
    save_file(weights, broken / "sae_weights.safetensors")
    (broken / "cfg.json").write_text((tiny.sae / "cfg.json").read_text())
    with pytest.raises(Invalid, match="NaN"):
        index_tiny(tiny, tmp_path / "x.db", sae=str(broken))


def test_an_id_that_is_taken_needs_replace(tiny: Tiny, tmp_path: Path) -> None:
    first = index_tiny(tiny, tmp_path / "x.db")
    with pytest.raises(Conflict, match="--replace"):
        index_tiny(tiny, tmp_path / "x.db")
    second = index_tiny(tiny, tmp_path / "x.db", replace=True, title="Second")
    assert (first.key != second.key, second.title) == (True, "Second")


def _activations_agree(example: Example, line: Line, feature: Feature) -> None:
    expected = line.acts[:, feature.index]
    found = torch.tensor([token.activation for token in example.tokens])
    # Stored as half floats scaled to the peak: three digits.
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-3 * feature.max_activation)
    assert example.peak is not None
    assert example.peak.activation == pytest.approx(float(expected.max()), rel=1e-3)
