"""`featurescope copy`: one database into another, of either kind."""

import argparse

from app.commands.options import Subparsers, existing_database, progress_bar
from app.errors import Conflict
from app.settings import Settings, database_url
from app.store.copy import copy_database
from app.store.database import Database


def add_to(commands: Subparsers) -> None:
    command = commands.add_parser("copy", help="copy a database into another one, SQLite to PostgreSQL or back")
    command.add_argument("--from", dest="source", required=True, metavar="DB", help="a SQLite file or a database URL")
    command.add_argument("--to", dest="target", required=True, metavar="DB", help="the same, empty or not there yet")
    command.set_defaults(run=run)


def run(asked: argparse.Namespace) -> None:
    if database_url(asked.source) == database_url(asked.target):
        raise Conflict("--from and --to are the same database.")
    source = existing_database(Settings(db=asked.source))
    try:
        target = Database(database_url(asked.target))
        try:
            with progress_bar("Copying", " rows") as report:
                copied = copy_database(source, target, report)
        finally:
            target.close()
    finally:
        source.close()
    for table in copied:
        print(f"{table.name}\t{table.n_rows:,} rows\t{table.checksum}")
    print(f"{source.name} is copied to {target.name}; counts and checksums agree.")
