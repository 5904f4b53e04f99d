"""The demo's own files."""

import json
from pathlib import Path

from app.engine.demo import demo_folder


def test_the_demo_corpus_has_56_topics_of_110_sentences() -> None:
    lines = (demo_folder() / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    topics: dict[str, int] = {}
    for line in lines:
        record = json.loads(line)
        assert record["text"].strip()
        topics[record["topic"]] = topics.get(record["topic"], 0) + 1
    assert len(topics) == 56
    assert set(topics.values()) == {110}


def test_the_demo_is_at_most_20_mb() -> None:
    files = [file for name in ("model", "sae") for file in Path(demo_folder() / name).iterdir()]
    assert sum(file.stat().st_size for file in files) <= 20_000_000
