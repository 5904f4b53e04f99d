"""`featurescope backup`: the database as one file, made while servers go on."""

import argparse
from pathlib import Path

from app.commands.options import Subparsers, add_database, existing_database, progress_bar, settings_of
from app.store.backup import back_up


def add_to(commands: Subparsers) -> None:
    command = commands.add_parser("backup", help="copy the database into one file, while it is served")
    command.add_argument("file", metavar="FILE", type=Path, help="the backup to make; it must not exist")
    add_database(command)
    command.set_defaults(run=run)


def run(asked: argparse.Namespace) -> None:
    database = existing_database(settings_of(asked))
    try:
        with progress_bar("Backing up", " pages") as report:
            back_up(database, asked.file, report)
    finally:
        database.close()
    print(f"{database.name} is backed up in {asked.file} ({asked.file.stat().st_size / 1e6:,.1f} MB).")
