"""`featurescope restore`: a backup becomes the database."""

import argparse
from pathlib import Path

from app.commands.options import Subparsers, add_database, progress_bar, settings_of
from app.settings import database_url
from app.store.backup import restore


def add_to(commands: Subparsers) -> None:
    command = commands.add_parser("restore", help="make a backup the database")
    command.add_argument("file", metavar="FILE", type=Path, help="what `featurescope backup` made")
    command.add_argument("--replace", action="store_true", help="in the place of what is there, which is kept beside")
    add_database(command)
    command.set_defaults(run=run)


def run(asked: argparse.Namespace) -> None:
    settings = settings_of(asked)
    with progress_bar("Restoring", " pages") as report:
        restore(asked.file, database_url(settings.db), asked.replace, report)
    print(f"{asked.file} is restored.")
