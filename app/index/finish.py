"""From what is recorded to the published dictionary: reduced, measured, compared, written."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from app.domain import Dictionary, Histogram, Json, NewDictionary, Quality
from app.engine.demo import DEMO
from app.engine.published import is_published
from app.errors import Invalid
from app.index.behind import Behind
from app.index.checkpoints import Checkpoints
from app.index.compare import Comparison
from app.index.draw import DrawOrder
from app.index.options import BuildOptions
from app.index.progress import progress
from app.index.quality import Kept, measure
from app.index.reader import Reader
from app.index.recorded import Recording
from app.index.recording import Int64
from app.index.reduce import reduce_firings
from app.index.statistics import density_histogram
from app.store.database import Database
from app.store.write import IndexWriter
from app.version import VERSION

DENSE = 0.1
REMEDY = "free some of it and repeat the command: what is recorded and computed so far stays"


def finish_build(
    options: BuildOptions,
    database: Database,
    identity: Mapping[str, Json],
    reader: Reader,
    recording: Recording,
    folder: Path,
) -> Dictionary:
    """Writing overlaps computing. folder: of the build's checkpoints, which are removed when it is published."""
    if recording.n_tokens == 0:
        raise Invalid("The corpus holds no token that counts: all are special tokens.")
    order = DrawOrder(options.seed, recording.n_windows, reader.sae.n_features)
    new = _new_dictionary(options, identity, reader, recording)
    checkpoints = Checkpoints(folder, identity, options.checkpoint_seconds)
    kept = _measure(options, reader, recording, order, checkpoints)
    writer = IndexWriter(database, new)
    with (
        reader.within_memory("reducing and comparing features", REMEDY),
        Comparison(reader, checkpoints) as comparison,
        Behind() as behind,
    ):
        shown = np.flatnonzero(recording.is_original).tolist()
        behind.do(writer.add_sentences, recording.sentence_values(shown))
        reduced = reduce_firings(
            recording,
            order,
            reader.model.device,
            lambda block: behind.do(writer.add_examples, block),
            progress,
            checkpoints,
        )
        behind.do(writer.index_words)
        for rows in comparison.rows(reduced, progress):
            behind.do(writer.add_features, rows)
    dictionary = writer.publish(_with_results(new, reduced.n_active, kept), options.replace)
    checkpoints.remove()
    return dictionary


def _measure(
    options: BuildOptions, reader: Reader, recording: Recording, order: DrawOrder, checkpoints: Checkpoints
) -> Kept:
    """Over the sentences drawn first of all, until they hold quality_tokens."""
    if options.quality_tokens <= 0:
        return Kept(None, None, 0)
    lengths = np.cumsum(recording.window_tokens[order.order])
    n = min(int(np.searchsorted(lengths, options.quality_tokens)) + 1, recording.n_windows)
    with progress(n, "Measuring quality", " sentences") as bar:

        def counted() -> Iterator[str]:
            for text in recording.texts(order.order[:n].tolist()):
                yield text
                bar.update()

        return measure(reader, counted(), checkpoints)


def _new_dictionary(
    options: BuildOptions,
    identity: Mapping[str, Json],
    reader: Reader,
    recording: Recording,
) -> NewDictionary:
    """What is known before the features are; their results come with _with_results."""
    return NewDictionary(
        id=options.id,
        title=options.title or options.id,
        model=reader.model.name,
        model_source=_source(options.model),
        sae=options.sae if options.sae == DEMO or is_published(options.sae) else Path(options.sae).name,
        sae_source=_source(options.sae),
        hook_point=str(reader.hook),
        architecture=reader.sae.architecture,
        d_in=reader.sae.d_in,
        n_features=reader.sae.n_features,
        n_sentences=recording.n_windows,
        n_duplicates=recording.n_windows - int(recording.is_original.sum()),
        n_tokens=recording.n_tokens,
        n_masked_tokens=recording.n_special + recording.n_outliers,
        corpus=_names(identity["corpus"]),
        parameters=_parameters(options, identity),
        quality=Quality(0.0, None, None, 0.0, 0.0, 0),
        density_histogram=Histogram([], []),
    )


def _with_results(new: NewDictionary, n_active: Int64, kept: Kept) -> NewDictionary:
    quality = Quality(
        l0=float(n_active.sum() / new.n_tokens),
        explained_variance=_finite(kept.explained_variance),
        ce_recovered=_finite(kept.ce_recovered),
        dead_share=float((n_active == 0).mean()),
        dense_share=float((n_active / new.n_tokens > DENSE).mean()),
        n_tokens_sampled=kept.n_tokens,
    )
    return replace(new, quality=quality, density_histogram=density_histogram(n_active, new.n_tokens))


def _names(corpus: Json) -> Sequence[str]:
    assert isinstance(corpus, list)
    return [str(name) for name in corpus]


def _parameters(options: BuildOptions, identity: Mapping[str, Json]) -> dict[str, Json]:
    """For the record, and for the live side; nothing that shows a path of this machine."""
    versions = {name: version(name) for name in ("torch", "transformers")}
    return {**identity, "batch_tokens": options.batch_tokens, "featurescope": VERSION, **versions}


def _source(given: str) -> str:
    """As the live side finds it again, wherever that is started."""
    path = Path(given).expanduser()
    return str(path.resolve()) if given != DEMO and path.exists() else given


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
