"""`featurescope dictionaries`: list what is indexed."""

import argparse

from app.commands.options import Subparsers, add_database, existing_database, settings_of
from app.store.dictionaries import list_dictionaries


def add_to(commands: Subparsers) -> None:
    command = commands.add_parser("dictionaries", help="list what is indexed")
    add_database(command)
    command.set_defaults(run=run)


def run(asked: argparse.Namespace) -> None:
    database = existing_database(settings_of(asked))
    try:
        with database.read() as session:
            for d in list_dictionaries(session):
                print(f"{d.id}\t{d.n_features:,} features\t{d.n_tokens:,} tokens\t{d.model} {d.hook_point}\t{d.title}")
    finally:
        database.close()
