"""Where features fire, against plain counting: ends of sentences, times a sentence, shares of tokens, metadata."""

import json
from collections import Counter
from itertools import pairwise

import pytest
from safetensors.torch import load_file
from sqlalchemy.orm import Session

from app.domain import FIRINGS, Feature
from app.store.database import Database
from app.store.features import get_feature
from tests.conftest import Indexed
from tests.index.plain import Line, run_plainly
from tests.tiny import DEAD, N_FEATURES, Tiny


@pytest.fixture(scope="module")
def lines(tiny: Tiny) -> list[Line]:
    return run_plainly(tiny)


@pytest.fixture(scope="module")
def features(indexed: Indexed) -> list[Feature]:
    database = Database(indexed.url)
    with database.read() as session:
        found = [read(session, indexed, index) for index in range(N_FEATURES)]
    database.close()
    return found


def read(session: Session, indexed: Indexed, index: int) -> Feature:
    return get_feature(session, indexed.dictionary, index)


def test_firings_at_the_ends_of_sentences(features: list[Feature], lines: list[Line]) -> None:
    for feature in features:
        assert feature.n_first == sum(float(line.acts[0, feature.index]) > 0 for line in lines)
        assert feature.n_last == sum(float(line.acts[-1, feature.index]) > 0 for line in lines)


def test_sentences_by_how_often_a_feature_fires_there(features: list[Feature], lines: list[Line]) -> None:
    for feature in features:
        times = [int((line.acts[:, feature.index] > 0).sum()) for line in lines]
        bounds = [*FIRINGS, 10**9]
        expected = [sum(low <= n < high for n in times) for low, high in pairwise(bounds)]
        assert list(feature.per_sentence) == (expected if sum(times) else [])


def test_what_share_of_a_tokens_occurrences_a_feature_fires_on(features: list[Feature], lines: list[Line]) -> None:
    occurrences = Counter(token for line in lines for token in line.ids)
    for feature in features:
        for token in feature.top_tokens:
            assert token.n_occurrences == occurrences[token.token_id]
            assert token.own_share == token.n / occurrences[token.token_id] <= 1


def test_metadata_of_the_sentences_where_a_feature_fires(
    features: list[Feature], lines: list[Line], tiny: Tiny
) -> None:
    records = [json.loads(line) for line in tiny.corpus.read_text("utf-8").splitlines()]
    topics = topic_of_each_line(lines, records)
    base = {topic: n / len(lines) for topic, n in Counter(topics).items()}
    for feature in features:
        fires = [bool((line.acts[:, feature.index] > 0).any()) for line in lines]
        counts = Counter(topic for topic, there in zip(topics, fires, strict=True) if there)
        assert {row.field for row in feature.metadata} <= {"topic"}, "a field that numbers sentences is left out"
        assert {row.value: row.n for row in feature.metadata} == dict(counts)
        for row in feature.metadata:
            assert row.share == row.n / sum(fires)
            assert row.base == pytest.approx(base[row.value], rel=1e-5)
            assert row.lift == pytest.approx(row.share / base[row.value], rel=1e-5)


def topic_of_each_line(lines: list[Line], records: list[dict[str, str]]) -> list[str]:
    """A window's topic is its record's; the windows of one follow one another and join to its text."""
    topics, rest, place = [], "", -1
    for line in lines:
        if not rest:
            place += 1
            rest = records[place]["text"]
        topics.append(records[place]["topic"])
        rest = rest[len(line.text) :]
    return topics


def test_the_cosine_between_encoder_and_decoder(features: list[Feature], tiny: Tiny) -> None:
    sae = load_file(tiny.sae / "sae_weights.safetensors")
    for feature in features:
        encoder, decoder = sae["W_enc"][:, feature.index], sae["W_dec"][feature.index]
        cosine = float(encoder @ decoder / (encoder.norm() * decoder.norm()))
        assert feature.encoder_cosine == pytest.approx(cosine, abs=1e-5)
    assert features[DEAD].encoder_cosine is not None
