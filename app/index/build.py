"""Building a dictionary: record the corpus, reduce it feature by feature, write and publish it."""

import fcntl
import math
import shutil
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from tqdm import tqdm

from app.domain import Dictionary, Histogram, Json, NewDictionary, Quality
from app.engine.demo import DEMO, model_path
from app.engine.hook_points import HookPoint, parse_hook_point
from app.engine.language_model import DTYPES, LanguageModel, load_language_model
from app.engine.published import hub_name, is_published, locate, open_sae
from app.engine.sae import Sae, check_fits
from app.errors import Conflict, Invalid
from app.index.corpus import corpus_files, digest, read_records
from app.index.draw import DrawOrder
from app.index.fit import stop_where_unfit
from app.index.pieces import WHOLE, Selection, Shard, ahead, read_pieces
from app.index.quality import Kept, measure
from app.index.record import Reader, record_corpus
from app.index.recorded import Recording, part_of_folder
from app.index.recording import Int64, RecordingWriter, read_manifest
from app.index.reduce import describe_features, reduce_firings
from app.index.statistics import density_histogram
from app.store.database import Database
from app.store.write import IndexWriter, check_id_free
from app.version import VERSION

DENSE = 0.1
MAX_CONTEXT = 32_767  # positions are kept in 15 bits
T = TypeVar("T")


@dataclass(frozen=True)
class BuildOptions:
    """What one build is told. model, sae: `demo`, a path, or a published name; hook, prepend_bos: None takes the SAE's.

    device_map, trust_remote_code, parts: of load_language_model.
    quality_tokens: sample for explained variance and cross-entropy recovered; 0 leaves them out.
    """

    id: str
    title: str | None
    model: str
    sae: str
    corpus: Sequence[str]
    hook: str | None = None
    prepend_bos: bool | None = None
    normalisation: str | None = None
    context: int = 128
    batch_tokens: int = 4096
    device: str = "cpu"
    dtype: str = "float32"
    device_map: str | None = None
    trust_remote_code: bool = False
    parts: Sequence[str] = ()
    seed: int = 0
    quality_tokens: int = 20_000
    replace: bool = False
    restart: bool = False
    dedup: bool = False
    mask_outliers: float | None = None
    max_tokens: int | None = None
    sample: float | None = None
    shard: Shard = WHOLE
    force: bool = False


def build_index(options: BuildOptions, database: Database, work: Path) -> Dictionary:
    """Raises a domain error that says what is wrong; what was recorded stays for the same command to go on with."""
    check_id(options.id)
    files = corpus_files(options.corpus)
    if not options.replace:
        check_id_free(database, options.id)
    with _only_build(work):
        say(f"Loading the model {options.model} and the SAE {options.sae}.")
        model = load_language_model(
            options.model,
            options.device,
            options.dtype,
            device_map=options.device_map,
            trust_remote_code=options.trust_remote_code,
            parts=options.parts,
        )
        sae = open_sae(options.sae, str(model.device), DTYPES[options.dtype], options.normalisation)
        reader = make_reader(options, model, sae)
        if not options.force:
            stop_where_unfit(reader, files)
        identity = build_identity(options, reader, files)
        _record(options, reader, files, work / "recording", identity)
        part = part_of_folder(work / "recording")
        recording = Recording([part], sae.n_features, options.dedup, options.mask_outliers)
        dictionary = finish_build(options, database, identity, reader, recording, files)
        shutil.rmtree(work, ignore_errors=True)
        return dictionary


def finish_build(
    options: BuildOptions,
    database: Database,
    identity: Mapping[str, Json],
    reader: Reader,
    recording: Recording,
    files: Sequence[Path],
) -> Dictionary:
    """From what is recorded to the published dictionary. Writing overlaps computing."""
    if recording.n_tokens == 0:
        raise Invalid("The corpus holds no token that counts: all are special tokens.")
    order = DrawOrder(options.seed, recording.n_windows, reader.sae.n_features)
    new = _new_dictionary(options, identity, reader, recording, files)
    kept = _measure(options, reader, recording, order)
    writer = IndexWriter(database, new)
    with Behind() as behind:
        shown = np.flatnonzero(recording.is_original).tolist()
        behind.do(writer.add_sentences, recording.sentence_values(shown))
        reduced = reduce_firings(reader, recording, order, partial(behind.do, writer.add_examples), progress)
        for block in describe_features(reader, reduced, progress):
            behind.do(writer.add_features, block)
    return writer.publish(_with_results(new, reduced.n_active, kept), options.replace)


class Behind:
    """Does things one after another in a thread of its own; what goes wrong in one is raised by the next or the end."""

    _WAITING = 8  # things that may wait

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._waiting: deque[Future[None]] = deque()

    def __enter__(self) -> "Behind":
        return self

    def do(self, what: Callable[[T], None], to: T) -> None:
        while len(self._waiting) >= self._WAITING or (self._waiting and self._waiting[0].done()):
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(what, to))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)
        if kind is None:
            for future in self._waiting:
                future.result()


def check_id(id: str) -> None:
    """Raises Invalid: an id stands in addresses."""
    if not id or len(id) > 100 or not all(c.isascii() and (c.isalnum() or c in "-_.") for c in id) or id[0] in "-.":
        raise Invalid(
            f"{id!r} cannot be an id: it takes up to 100 letters, digits, '-', '_' and '.', letter or digit first."
        )


def make_reader(options: BuildOptions, model: LanguageModel, sae: Sae) -> Reader:
    """Where model and SAE meet. A hook given wins over the one in the SAE's own config. Raises Invalid."""
    name = options.hook or sae.hook_point
    if name is None:
        raise Invalid("The SAE does not say which hook point it reads; give it with --hook (blocks.4.hook_resid_post).")
    hook = model.sites.named(parse_hook_point(name))
    check_fits(model, sae, hook)
    if not 2 <= options.context <= min(model.context, MAX_CONTEXT):
        most = min(model.context, MAX_CONTEXT)
        raise Invalid(f"--context {options.context} cannot be: {model.name} takes 2 to {most} tokens at once.")
    if sae.model_name is not None and _base_name(sae.model_name) != _base_name(options.model):
        say(f"Warning: the SAE says it was trained on {sae.model_name}, and this is {model.name}.")
    if options.hook is not None and sae.hook_point is not None and hook != _own_hook(model, sae.hook_point):
        say(f"Warning: the SAE says it reads {sae.hook_point}; --hook {options.hook} is used.")
    # What the SAE was trained with; unsaid, a BOS where the tokenizer has one of its own.
    has_bos = model.tokenizer.bos_token_id is not None or model.family.encoder
    told = sae.prepend_bos if options.prepend_bos is None else options.prepend_bos
    prepend_bos = model.bos_id is not None and (has_bos if told is None else told)
    return Reader(model, sae, hook, options.context, prepend_bos, max(options.batch_tokens, options.context))


def build_identity(options: BuildOptions, reader: Reader, files: Sequence[Path]) -> dict[str, Json]:
    """Everything that the activations depend on: a recording goes on only where all of it is the same."""
    return {
        "model": _source(options.model),
        "model_files": _folder_state(Path(model_path(options.model)).expanduser()),
        "sae": _source(options.sae),
        "sae_files": _folder_state(locate(options.sae).path),
        "corpus": [file.name for file in files],
        "corpus_digest": digest(files),
        "hook_point": str(reader.hook),
        "context": reader.context,
        "prepend_bos": reader.prepend_bos,
        "batch_tokens": reader.batch_tokens,
        "dtype": options.dtype,
        "parts": list(options.parts),
        "normalisation": options.normalisation,
        "device": options.device,
    }


def open_recording(
    folder: Path, identity: Mapping[str, Json], restart: bool, n_features: int, with_norms: bool
) -> RecordingWriter:
    """A recording to go on with, or a new one. Raises Conflict where what is there was made from something else."""
    manifest = read_manifest(folder)
    if restart or manifest is None:
        shutil.rmtree(folder, ignore_errors=True)
    elif manifest["identity"] != identity:
        changed = sorted(name for name in identity if manifest["identity"].get(name) != identity[name])
        raise Conflict(
            f"An unfinished build is in {folder.parent}, made with another {', '.join(changed)}; "
            "repeat its command to go on with it, or give --restart to begin anew."
        )
    else:
        say("Going on with the build that was interrupted.")
    return RecordingWriter(folder, identity, n_features, with_norms)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def progress(total: int, what: str, unit: str) -> Any:
    """A bar with rate and time left on a terminal, a line now and then elsewhere."""
    interval = 0.2 if sys.stderr.isatty() else 10
    return tqdm(total=total, desc=what, unit=unit, unit_scale=True, mininterval=interval, file=sys.stderr)


@contextmanager
def _only_build(work: Path) -> Iterator[None]:
    """One process builds an id at a time. The lock goes with the process, however it ends."""
    try:
        work.mkdir(parents=True, exist_ok=True)
        with (work / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict(f"Another process is building in {work}; wait for it, or stop it first.") from None
            yield
    except PermissionError as error:
        raise Invalid(f"{work} cannot be written to; give a database in a folder of yours with --db.") from error


def _record(
    options: BuildOptions, reader: Reader, files: Sequence[Path], folder: Path, identity: Mapping[str, Json]
) -> None:
    n_features = reader.sae.n_features
    writer = open_recording(folder, identity, options.restart, n_features, options.mask_outliers is not None)
    selection = Selection(options.shard, options.max_tokens, options.sample, options.seed)
    pieces = read_pieces(read_records(files), reader.windows, selection, writer.progress.n_pieces)
    total = sum(file.stat().st_size for file in files)
    try:
        with progress(total, "Recording", "B") as bar:

            def report(read: int, n_tokens: int, n_alive: int) -> None:
                bar.set_postfix_str(f"{n_tokens:,} tokens, {n_alive:,} features alive", refresh=False)
                bar.update(min(read, total) - bar.n)

            record_corpus(reader, ahead(pieces), writer, report)
            bar.update(total - bar.n)
    finally:
        writer.close()


def _measure(options: BuildOptions, reader: Reader, recording: Recording, order: DrawOrder) -> Kept:
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

        return measure(reader, counted())


def _new_dictionary(
    options: BuildOptions,
    identity: Mapping[str, Json],
    reader: Reader,
    recording: Recording,
    files: Sequence[Path],
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
        corpus=[file.name for file in files],
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


def _parameters(options: BuildOptions, identity: Mapping[str, Json]) -> dict[str, Json]:
    """For the record, and for the live side; nothing that shows a path of this machine."""
    kept = {name: value for name, value in identity.items() if name not in ("model", "sae", "model_files", "sae_files")}
    versions = {name: version(name) for name in ("torch", "transformers")}
    return {**kept, "seed": options.seed, "quality_tokens": options.quality_tokens, "featurescope": VERSION, **versions}


def _source(given: str) -> str:
    """As the live side finds it again, wherever that is started."""
    path = Path(given).expanduser()
    return str(path.resolve()) if given != DEMO and path.exists() else given


def _folder_state(path: Path) -> Json:
    """Names, sizes and times of files; a model that was changed in place is another one."""
    files = sorted(path.iterdir()) if path.is_dir() else [path] if path.exists() else []
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files if file.is_file()]


def _base_name(model: str) -> str:
    return hub_name(model).rstrip("/").rsplit("/", 1)[-1].lower()


def _own_hook(model: LanguageModel, name: str) -> HookPoint | None:
    """Where the SAE says it reads, by its site's name; None where this model has no such place."""
    try:
        return model.sites.named(parse_hook_point(name))
    except Invalid:
        return None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def check_device(device: str) -> None:
    """Raises Invalid for a device that torch does not have here."""
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise Invalid(f"--device {device}: {str(error).splitlines()[0]}") from error
