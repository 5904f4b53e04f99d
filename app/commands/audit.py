"""`featurescope audit`: who stored what, and when."""

import argparse

from app.commands.options import Subparsers, add_database, existing_database, settings_of
from app.store.audit import list_audit


def add_to(commands: Subparsers) -> None:
    command = commands.add_parser("audit", help="list who stored what, the newest first")
    command.add_argument("--who", help="one person's alone")
    command.add_argument("--limit", type=int, default=100, help="(default: 100)")
    add_database(command)
    command.set_defaults(run=run)


def run(asked: argparse.Namespace) -> None:
    database = existing_database(settings_of(asked))
    try:
        with database.read() as session:
            for entry in list_audit(session, asked.who, None, max(1, asked.limit)).items:
                who = entry.who or "not signed in"
                print(f"{entry.at:%Y-%m-%d %H:%M:%S}\t{who}\t{entry.how}\t{entry.request}\t{'; '.join(entry.changes)}")
    finally:
        database.close()
