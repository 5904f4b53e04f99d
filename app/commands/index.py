"""`featurescope index`: run a corpus through a model and its SAE, and store what its features do."""

import argparse

from app.commands.options import Subparsers, add_database, add_model_loading, settings_of, work_folder
from app.settings import database_url
from app.store.database import Database


def add_to(commands: Subparsers) -> None:
    command = commands.add_parser(
        "index", help="run a corpus through a model and its SAE, and store what its features do"
    )
    command.add_argument("id", metavar="ID", help="the dictionary's name in addresses: letters, digits, '-', '_', '.'")
    add_model_and_sae(command)
    command.add_argument(
        "--corpus", required=True, nargs="+", metavar="FILE", help=".txt, .jsonl or .csv, also .gz, .xz"
    )
    command.add_argument("--title", help="what pages call it (default: its ID)")
    command.add_argument("--batch-tokens", type=int, default=4096, help="tokens a batch (default: 4096)")
    command.add_argument("--seed", type=int, default=0, help="of the samples drawn (default: 0)")
    command.add_argument(
        "--quality-tokens",
        type=int,
        default=20_000,
        help="tokens over which variance explained and loss recovered are measured; 0 leaves them out (default: 20000)",
    )
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


def run(asked: argparse.Namespace) -> None:
    from app.engine.published import stated_model
    from app.index.build import BuildOptions, build_index, check_device, say

    settings = settings_of(asked)
    check_device(settings.device)
    options = BuildOptions(
        id=asked.id,
        title=asked.title,
        model=asked.model or stated_model(asked.sae),
        sae=asked.sae,
        corpus=asked.corpus,
        hook=asked.hook,
        prepend_bos=asked.bos,
        normalisation=asked.normalisation,
        context=asked.context,
        batch_tokens=asked.batch_tokens,
        device=settings.device,
        dtype=asked.dtype,
        device_map=settings.device_map or None,
        trust_remote_code=settings.trust_remote_code,
        parts=asked.parts,
        seed=asked.seed,
        quality_tokens=asked.quality_tokens,
        replace=asked.replace,
        restart=asked.restart,
        force=asked.force,
    )
    database = Database(database_url(settings.db))
    try:
        made = build_index(options, database, work_folder(settings, asked.id))
    finally:
        database.close()
    quality = made.quality
    say(
        f"{made.id} is indexed: {made.n_features:,} features over {made.n_tokens:,} tokens of "
        f"{made.n_sentences:,} sentences; L0 {quality.l0:.1f}, {quality.dead_share:.1%} dead.\n"
        f"See it with: featurescope serve{'' if asked.db is None else f' --db {asked.db}'}"
    )
