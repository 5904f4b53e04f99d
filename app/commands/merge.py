"""`featurescope merge`: put the shards of a corpus together into one dictionary."""

import argparse
from pathlib import Path

from app.commands.index import stop_on_sigterm, summary
from app.commands.options import Subparsers, add_database, settings_of, work_folder
from app.settings import database_url
from app.store.database import Database


def add_to(commands: Subparsers) -> None:
    command = commands.add_parser("merge", help="put shards made by `index --shard` together into one dictionary")
    command.add_argument("id", metavar="ID", help="the dictionary's name in addresses")
    command.add_argument("shards", nargs="+", metavar="SHARD", help="every shard of the corpus, in any order")
    command.add_argument("--model", help="the model, where it does not lie as it did when the shards were made")
    command.add_argument("--sae", help="the SAE, likewise")
    command.add_argument("--title", help="what pages call it (default: as the shards say)")
    command.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: cpu)")
    command.add_argument("--replace", action="store_true", help="put it in the place of a dictionary of this ID")
    add_database(command)
    command.set_defaults(run=run)


def run(asked: argparse.Namespace) -> None:
    from app.index.build import check_device
    from app.index.merge import merge_shards
    from app.index.progress import say

    stop_on_sigterm()
    settings = settings_of(asked)
    check_device(settings.device)
    database = Database(database_url(settings.db))
    try:
        made = merge_shards(
            id=asked.id,
            title=asked.title,
            shards=[Path(shard) for shard in asked.shards],
            model=asked.model,
            sae=asked.sae,
            device=settings.device,
            replacing=asked.replace,
            checkpoint_seconds=settings.checkpoint_seconds,
            database=database,
            work=work_folder(settings, asked.id),
        )
    finally:
        database.close()
    say(summary(made, asked.db))
