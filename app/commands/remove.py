"""`featurescope remove`: remove a dictionary, with its labels."""

import argparse
import sys

from app.commands.options import Subparsers, add_database, existing_database, settings_of
from app.errors import Invalid
from app.store.dictionaries import get_dictionary
from app.store.write import remove_dictionary


def add_to(commands: Subparsers) -> None:
    command = commands.add_parser("remove", help="remove a dictionary, with its labels")
    command.add_argument("id", metavar="ID")
    command.add_argument("--yes", action="store_true", help="do not ask")
    add_database(command)
    command.set_defaults(run=run)


def run(asked: argparse.Namespace) -> None:
    database = existing_database(settings_of(asked))
    try:
        with database.read() as session:
            found = get_dictionary(session, asked.id)
        if not asked.yes:
            if not sys.stdin.isatty():
                raise Invalid(f"Removing {asked.id} also removes its labels; give --yes to do it.")
            answer = input(f"Remove {found.id} ({found.n_features:,} features) and its labels? [y/N] ")
            if answer.strip().lower() not in ("y", "yes"):
                print("Nothing was removed.")
                return
        remove_dictionary(database, asked.id)
        print(f"{asked.id} is removed.")
    finally:
        database.close()
