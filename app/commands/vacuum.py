"""`featurescope vacuum`: give the room of what was removed back to the disk."""

import argparse

from app.commands.options import Subparsers, add_database, existing_database, settings_of
from app.store.room import database_size, vacuum


def add_to(commands: Subparsers) -> None:
    command = commands.add_parser("vacuum", help="give the room of what was removed back to the disk")
    add_database(command)
    command.set_defaults(run=run)


def run(asked: argparse.Namespace) -> None:
    database = existing_database(settings_of(asked))
    try:
        before = database_size(database)
        vacuum(database)
        print(f"{database.name}: {before / 1e6:,.1f} MB before, {database_size(database) / 1e6:,.1f} MB now.")
    finally:
        database.close()
