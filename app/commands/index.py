"""`featurescope index`: run a corpus through a model and its SAE, and store what its features do."""

import argparse
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.commands.options import Subparsers, add_database, add_model_loading, settings_of, work_folder
from app.domain import Dictionary
from app.settings import database_url
from app.store.database import Database

if TYPE_CHECKING:
    from app.index.options import BuildOptions


def add_to(commands: Subparsers) -> None:
    command = commands.add_parser(
        "index", help="run a corpus through a model and its SAE, and store what its features do"
    )
    command.add_argument("id", metavar="ID", help="the dictionary's name in addresses: letters, digits, '-', '_', '.'")
    add_model_and_sae(command)
    command.add_argument(
        "--corpus",
        required=True,
        nargs="+",
        metavar="FILE",
        help=".txt, .jsonl, .csv or .parquet, also .gz, .bz2, .xz, .zst; a pattern such as 'data/*.jsonl'; - is "
        "standard input",
    )
    command.add_argument("--text-column", default="text", help="what a record's text is called (default: text)")
    command.add_argument("--stdin", choices=("txt", "jsonl", "csv"), default="txt", help="what - is (default: txt)")
    command.add_argument("--title", help="what pages call it (default: its ID)")
    command.add_argument("--batch-tokens", type=int, default=4096, help="tokens a batch (default: 4096)")
    command.add_argument("--seed", type=int, default=0, help="of the samples drawn (default: 0)")
    command.add_argument(
        "--quality-tokens",
        type=int,
        default=20_000,
        help="tokens over which variance explained and loss recovered are measured; 0 leaves them out (default: 20000)",
    )
    command.add_argument("--max-tokens", type=int, metavar="N", help="read no further than this many tokens")
    command.add_argument(
        "--sample", type=float, metavar="SHARE", help="read this share of the records, drawn by --seed"
    )
    command.add_argument("--dedup", action="store_true", help="repeated sentences count nowhere")
    command.add_argument(
        "--mask-outliers", type=float, metavar="X", help="mask tokens whose norm is above X times the median"
    )
    command.add_argument("--shard", metavar="I/N", help="record only the I-th of N parts, into a file for `merge`")
    command.add_argument("--shard-file", metavar="FILE", help="that file (default: ID.I-of-N.shard)")
    command.add_argument("--force", action="store_true", help="go on where the SAE does not seem to fit the model")
    command.add_argument("--replace", action="store_true", help="put it in the place of a dictionary of this ID")
    command.add_argument("--restart", action="store_true", help="begin anew, where an unfinished build would go on")
    add_database(command)
    command.set_defaults(run=run)


def add_model_and_sae(command: argparse.ArgumentParser, required: bool = True) -> None:
    """What says which model and SAE to run, and how."""
    command.add_argument(
        "--model",
        help="a Hugging Face model: a folder, a .gguf file, a name on the hub, or 'demo' (default: the SAE's)",
    )
    command.add_argument(
        "--sae",
        required=required,
        help="an SAE: a folder or file, saelens:RELEASE/ID (see `featurescope saes`), hf:owner/repo/path, or 'demo'",
    )
    command.add_argument("--hook", help="where the SAE reads, such as blocks.4.hook_resid_post (default: as it says)")
    command.add_argument(
        "--bos", action=argparse.BooleanOptionalAction, help="put BOS before texts (default: as the SAE)"
    )
    command.add_argument(
        "--normalisation", help="of the SAE's input, where its files say it wrongly: a name, or a factor"
    )
    command.add_argument("--context", type=int, default=128, help="tokens run at once (default: 128)")
    command.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: cpu)")
    command.add_argument("--dtype", default="float32", help="float32 (default), bfloat16 or float16")
    command.add_argument(
        "--parts", nargs="+", default=[], metavar="PART=MODULE", help="names of the parts of an unknown architecture"
    )
    add_model_loading(command)


def options_of(asked: argparse.Namespace, **more: Any) -> "BuildOptions":
    """What `add_model_and_sae` was given, and more of a build. Raises Invalid where no model is named."""
    from app.engine.published import stated_model
    from app.index.build import check_device
    from app.index.options import BuildOptions

    settings = settings_of(asked)
    check_device(settings.device)
    return BuildOptions(
        model=asked.model or stated_model(asked.sae),
        sae=asked.sae,
        hook=asked.hook,
        prepend_bos=asked.bos,
        normalisation=asked.normalisation,
        context=asked.context,
        device=settings.device,
        dtype=asked.dtype,
        device_map=settings.device_map or None,
        trust_remote_code=settings.trust_remote_code,
        parts=asked.parts,
        checkpoint_seconds=settings.checkpoint_seconds,
        **{"title": None, **more},
    )


def run(asked: argparse.Namespace) -> None:
    from app.index.build import build_index, build_shard
    from app.index.pieces import WHOLE, parse_shard
    from app.index.progress import say

    stop_on_sigterm()

    settings = settings_of(asked)
    options = options_of(
        asked,
        id=asked.id,
        title=asked.title,
        corpus=asked.corpus,
        batch_tokens=asked.batch_tokens,
        seed=asked.seed,
        quality_tokens=asked.quality_tokens,
        text_column=asked.text_column,
        input_kind=f".{asked.stdin}",
        dedup=asked.dedup,
        mask_outliers=asked.mask_outliers,
        max_tokens=asked.max_tokens,
        sample=asked.sample,
        shard=WHOLE if asked.shard is None else parse_shard(asked.shard),
        replace=asked.replace,
        restart=asked.restart,
        force=asked.force,
    )
    if asked.shard is not None:
        name = f"{asked.id}.{options.shard.number}-of-{options.shard.of}.shard"
        to = Path(asked.shard_file or name)
        build_shard(options, work_folder(settings, name), to)
        say(f"Shard {options.shard} is {to}. Put all together with: featurescope merge {asked.id} SHARD...")
        return
    database = Database(database_url(settings.db))
    try:
        made = build_index(options, database, work_folder(settings, asked.id))
    finally:
        database.close()
    say(summary(made, asked.db))


def summary(made: Dictionary, db: str | None) -> str:
    quality = made.quality
    changed = made.changed_under_labels
    warning = (
        f"Look at the labels of {', '.join(map(str, changed[:20]))}{' …' if len(changed) > 20 else ''} again: this SAE "
        "has another decoder row there (or none) than the one that was labelled.\n"
        if changed
        else ""
    )
    return warning + (
        f"{made.id} is indexed: {made.n_features:,} features over {made.n_tokens:,} tokens of "
        f"{made.n_sentences:,} sentences; L0 {quality.l0:.1f}, {quality.dead_share:.1%} dead.\n"
        f"See it with: featurescope serve{'' if db is None else f' --db {db}'}"
    )


def stop_on_sigterm() -> None:
    """A build that is told to end does so as with Ctrl-C: with a checkpoint, and a sentence."""

    def stop(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
