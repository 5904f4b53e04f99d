"""`featurescope check`: look the database through, and put right what is safe."""

import argparse

from app.commands.options import Subparsers, add_database, existing_database, progress_bar, settings_of
from app.errors import Invalid
from app.store.check import Finding, check_database

SHOWN = 50  # findings; more say no more


def add_to(commands: Subparsers) -> None:
    command = commands.add_parser("check", help="look the database through for damage and leftovers")
    command.add_argument("--repair", action="store_true", help="put right what is safe: leftovers, names of features")
    add_database(command)
    command.set_defaults(run=run)


def run(asked: argparse.Namespace) -> None:
    """Raises Invalid where something is wrong and still stands."""
    database = existing_database(settings_of(asked))
    try:
        with progress_bar("Checking", " rows") as report:
            found = list(check_database(database, asked.repair, report))
    finally:
        database.close()
    for finding in found[:SHOWN]:
        print(_line(finding))
    if len(found) > SHOWN:
        print(f"and {len(found) - SHOWN} more like these")
    if not database.is_sqlite:
        print("note: every row was read; PostgreSQL's own indexes are for its pg_amcheck to look at")
    faults = sum(finding.is_fault and finding.is_open for finding in found)
    if faults:
        raise Invalid(f"{database.name} has {faults} faults; see above what to do about each.")
    print(f"{database.name} is sound.")


def _line(finding: Finding) -> str:
    kind = "note" if not finding.is_fault else "FAULT" if finding.is_open else "repaired"
    return f"{kind}: {finding.what}; {finding.remedy}"
