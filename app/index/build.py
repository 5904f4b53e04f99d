"""Building a dictionary: load, record the corpus, and finish it; or record a shard of it."""

import fcntl
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from app.domain import Dictionary, Json
from app.engine.hook_points import HookPoint, parse_hook_point
from app.engine.language_model import LanguageModel
from app.engine.model_files import DTYPES, load_language_model
from app.engine.nonlinearities import AbsTopK
from app.engine.published import hub_name, open_sae
from app.engine.sae import Sae, check_fits
from app.errors import Conflict, Invalid
from app.index.corpus import STANDARD_INPUT, corpus_files, keep_standard_input, read_records
from app.index.finish import finish_build
from app.index.fit import stop_where_unfit
from app.index.identity import build_identity, differing
from app.index.neighbors import has_fast_bfloat16
from app.index.options import BuildOptions
from app.index.pieces import Selection, ahead, read_pieces
from app.index.progress import progress, say
from app.index.reader import Reader
from app.index.record import record_corpus
from app.index.recorded import Recording, part_of_folder
from app.index.recording import RecordingWriter, read_manifest
from app.index.shards import pack_shard
from app.memory import share_memory
from app.store.database import Database
from app.store.write import check_id_free

MAX_CONTEXT = 32_767  # positions are kept in 15 bits
CHECKPOINTS = "checkpoints"  # of a build in its recording's folder: they begin anew with it


def build_index(options: BuildOptions, database: Database, work: Path) -> Dictionary:
    """Raises a domain error that says what is wrong; what was recorded stays for the same command to go on with."""
    check_options(options)
    share_memory()
    if not options.replace:
        check_id_free(database, options.id)
    with only_build(work), database.only_build(options.id):
        reader, identity = _recorded(options, work)
        part = part_of_folder(work / "recording")
        recording = Recording([part], reader.sae.n_features, options.dedup, options.mask_outliers)
        dictionary = finish_build(options, database, identity, reader, recording, work / "recording" / CHECKPOINTS)
        shutil.rmtree(work, ignore_errors=True)
        return dictionary


def build_shard(options: BuildOptions, work: Path, to: Path) -> None:
    """One shard of a dictionary, as the file `to`. Interrupted, the same command goes on, as with build_index."""
    check_options(options)
    share_memory()
    with only_build(work):
        _recorded(options, work)
        pack_shard(work / "recording", options, to)
        shutil.rmtree(work, ignore_errors=True)


def check_options(options: BuildOptions) -> None:
    """Raises Invalid for what is wrong by itself, whatever the model."""
    id = options.id
    if not id or len(id) > 100 or not all(c.isascii() and (c.isalnum() or c in "-_.") for c in id) or id[0] in "-.":
        raise Invalid(
            f"{id!r} cannot be an id: it takes up to 100 letters, digits, '-', '_' and '.', letter or digit first."
        )
    if options.sample is not None and not 0 < options.sample <= 1:
        raise Invalid(f"--sample {options.sample} cannot be: it takes a share of the records, above 0 and up to 1.")
    if options.max_tokens is not None and options.max_tokens < 1:
        raise Invalid(f"--max-tokens {options.max_tokens} cannot be: it takes a number from 1 on.")
    if options.mask_outliers is not None and not options.mask_outliers > 1:
        raise Invalid(f"--mask-outliers {options.mask_outliers} cannot be: it takes how many medians, above 1.")


def load(options: BuildOptions) -> tuple[LanguageModel, Sae]:
    say(f"Loading the model {options.model} and the SAE {options.sae}.")
    if options.dtype == "bfloat16" and options.device == "cpu" and not has_fast_bfloat16():
        say("Warning: this processor has no bfloat16 arithmetic (avx512_bf16, amx); float32 is faster here.")
    model = load_language_model(
        options.model,
        options.device,
        options.dtype,
        device_map=options.device_map,
        trust_remote_code=options.trust_remote_code,
        parts=options.parts,
    )
    return model, open_sae(options.sae, str(model.device), DTYPES[options.dtype], options.normalisation)


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
    if isinstance(sae.nonlinearity, AbsTopK):
        say("Warning: the features of an AbsTopK SAE fire in both directions; the index holds the positive side alone.")
    # What the SAE was trained with; unsaid, a BOS where the tokenizer has one of its own.
    has_bos = model.tokenizer.bos_token_id is not None or model.family.encoder
    told = sae.prepend_bos if options.prepend_bos is None else options.prepend_bos
    prepend_bos = model.bos_id is not None and (has_bos if told is None else told)
    return Reader(model, sae, hook, options.context, prepend_bos, max(options.batch_tokens, options.context))


def _recorded(options: BuildOptions, work: Path) -> tuple[Reader, dict[str, Json]]:
    """Loads, and records what is not recorded yet into the folder `work`."""
    sources = [source for source in options.corpus if source != STANDARD_INPUT]
    files = corpus_files(sources)
    if len(sources) < len(options.corpus):
        files.append(keep_standard_input(work, options.input_kind))
    reader = make_reader(options, *load(options))
    if not options.force:
        remedy = "give --dtype bfloat16, a smaller --context, another --device, or --force to go without it"
        with reader.within_memory("the check before the build", remedy):
            stop_where_unfit(reader, files, options.text_column)
    identity = build_identity(options, reader, files)
    _record(options, reader, files, work / "recording", identity)
    return reader, identity


def open_recording(
    folder: Path, identity: Mapping[str, Json], restart: bool, n_features: int, with_norms: bool
) -> RecordingWriter:
    """A recording to go on with, or a new one. Raises Conflict where what is there was made from something else."""
    manifest = read_manifest(folder)
    if restart or manifest is None:
        shutil.rmtree(folder, ignore_errors=True)
    elif manifest["identity"].get("recording") != identity["recording"]:
        raise Conflict(
            f"An unfinished build of another version of Featurescope is in {folder.parent}; "
            "give --restart to begin anew."
        )
    elif manifest["identity"] != identity:
        changed = differing(manifest["identity"], identity)
        raise Conflict(
            f"An unfinished build is in {folder.parent}, made with another {' and '.join(changed)}; "
            "repeat its command to go on with it, or give --restart to begin anew."
        )
    else:
        say("Going on with the build that was interrupted.")
    return RecordingWriter(folder, identity, n_features, with_norms)


@contextmanager
def only_build(work: Path) -> Iterator[None]:
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
    pieces = read_pieces(read_records(files, options.text_column), reader.windows, selection, writer.progress.n_pieces)
    total = sum(file.stat().st_size for file in files)
    try:
        with progress(total, "Recording", "B") as bar:
            begun, before = time.monotonic(), writer.progress.n_tokens

            def report(read: int, n_tokens: int, n_alive: int) -> None:
                if before and bar.n == 0:  # what an earlier run has done tells nothing of this one's rate
                    bar.initial = bar.n = min(read, total)
                rate = (n_tokens - before) / (time.monotonic() - begun)
                said = f"{n_tokens:,} tokens, {rate:,.0f} tokens/s, {n_alive:,} features alive"
                bar.set_postfix_str(said, refresh=False)
                bar.update(min(read, total) - bar.n)

            record_corpus(reader, ahead(pieces), writer, report, options.checkpoint_seconds)
            bar.update(total - bar.n)
    finally:
        writer.close()


def _base_name(model: str) -> str:
    return hub_name(model).rstrip("/").rsplit("/", 1)[-1].lower()


def _own_hook(model: LanguageModel, name: str) -> HookPoint | None:
    """Where the SAE says it reads, by its site's name; None where this model has no such place."""
    try:
        return model.sites.named(parse_hook_point(name))
    except Invalid:
        return None


def check_device(device: str) -> None:
    """Raises Invalid for a device that torch does not have here."""
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise Invalid(f"--device {device}: {str(error).splitlines()[0]}") from error
