"""Where a build spends processor seconds, part by part, beside what the floor spends on the same.

Used by `python -m bench.index --parts`, with OMP_NUM_THREADS=1: seconds are those of the thread that a part runs in.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import app.index.batches
import app.index.compare
import app.index.examples
import app.index.finish
import app.index.reader
import app.index.recorded
import app.index.reduce
import app.store.write

# The part, and the function that it is, by its module or class and name. A part's own parts are taken out of it.
_PARTS: tuple[tuple[str, Any, str], ...] = (
    ("forward", app.index.reader.Reader, "stream"),
    ("encode, find what fires", app.index.batches, "fired"),
    ("sort and write a recording", app.index.record.RecordingWriter, "append"),
    ("read a recording", app.index.recorded.Recording, "__init__"),
    ("read firings by feature", app.index.recorded.Recording, "firings"),
    ("describe the corpus", app.index.reduce, "describe_corpus"),
    ("prepare contrasts", app.index.reduce, "prepare"),
    ("runs", app.index.reduce, "find_runs"),
    ("statistics", app.index.reduce, "summarize"),
    ("surroundings", app.index.reduce, "surround"),
    ("choose examples", app.index.reduce, "choose"),
    ("note co-activation", app.index.reduce.CoActivation, "pack"),
    ("logits", app.index.compare.LogitReader, "top"),
    ("similar and opposite", app.index.neighbors.Decoder, "neighbors"),
    ("co-active", app.index.reduce.CoActivation, "neighbors"),
    ("sentences", app.store.write.IndexWriter, "add_sentences"),
    ("examples, packed and stored", app.store.write.IndexWriter, "add_examples"),
    ("features, packed", app.index.compare.FeatureBlock, "packed"),
    ("features, stored", app.store.write.IndexWriter, "add_features"),
    ("words for search", app.store.write, "index_words"),
    ("publish", app.store.write.IndexWriter, "publish"),
)


@contextmanager
def parts() -> Iterator[Counter[str]]:
    """Counts seconds by part while it lasts."""
    seconds: Counter[str] = Counter()
    originals = [(owner, name, getattr(owner, name)) for _, owner, name in _PARTS]
    for (part, owner, name), (_, _, function) in zip(_PARTS, originals, strict=True):
        setattr(owner, name, _timed(part, function, seconds))
    try:
        yield seconds
    finally:
        for owner, name, function in originals:
            setattr(owner, name, function)


def _timed(part: str, function: Callable[..., Any], seconds: "Counter[str]") -> Callable[..., Any]:
    def run(*args: Any, **named: Any) -> Any:
        begin = time.thread_time()
        try:
            result = function(*args, **named)
        finally:
            seconds[part] += time.thread_time() - begin
        return _each(part, result, seconds) if isinstance(result, Iterator) else result

    return run


def _each(part: str, items: Iterator[Any], seconds: "Counter[str]") -> Iterator[Any]:
    while True:
        begin = time.thread_time()
        item = next(items, None)
        seconds[part] += time.thread_time() - begin
        if item is None:
            return
        yield item
