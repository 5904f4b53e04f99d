"""`featurescope private`: let only those see a dictionary whom it was opened to."""

import argparse

from app.commands.options import Subparsers, add_database, existing_database, settings_of
from app.commands.tokens import OPERATOR
from app.store.audit import audited
from app.store.dictionaries import get_dictionary
from app.store.visible import set_private


def add_to(commands: Subparsers) -> None:
    command = commands.add_parser("private", help="hide a dictionary from all who have no role in it")
    command.add_argument("id", metavar="ID")
    command.add_argument("--open", action="store_true", help="show it to everybody who may read again")
    add_database(command)
    command.set_defaults(run=run)


def run(asked: argparse.Namespace) -> None:
    database = existing_database(settings_of(asked))
    try:
        with database.write() as session, audited(session, OPERATOR, "private"):
            set_private(session, get_dictionary(session, asked.id).id, private=not asked.open)
        print(
            f"{asked.id} is there for everybody who may read."
            if asked.open
            else f"{asked.id} is private: only admins see it, and whom a role in it is given "
            f"(tokens create --on {asked.id}=read, people set --on {asked.id}=read)."
        )
    finally:
        database.close()
