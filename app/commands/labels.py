"""`featurescope labels`: labels and tables as files, and labels from files."""

import argparse
import sys
from pathlib import Path

from app.commands.options import Subparsers, add_database, existing_database, settings_of
from app.errors import Invalid
from app.exchange.label_files import LabelFormat, read_labels, write_labels
from app.store.dictionaries import get_dictionary
from app.store.label_exchange import export_labels, import_labels, plan_import


def add_to(commands: Subparsers) -> None:
    export = commands.add_parser("export-labels", help="write a dictionary's labels to a file")
    export.add_argument("id", metavar="ID")
    export.add_argument("file", metavar="FILE", help=".csv or .jsonl; - for standard output")
    add_database(export)
    export.set_defaults(run=run_export)
    taken = commands.add_parser("import-labels", help="read labels from a file; all of them or none")
    taken.add_argument("id", metavar="ID")
    taken.add_argument("file", metavar="FILE", type=Path, help=".csv or .jsonl, as export-labels writes it")
    taken.add_argument("--dry-run", action="store_true", help="only say what would change")
    taken.add_argument("--author", default="import", help="who imports, for the history (default: import)")
    add_database(taken)
    taken.set_defaults(run=run_import)


def run_export(asked: argparse.Namespace) -> None:
    database = existing_database(settings_of(asked))
    try:
        with database.read() as session:
            records = export_labels(session, get_dictionary(session, asked.id))
            if asked.file == "-":
                sys.stdout.writelines(write_labels(records, LabelFormat.JSONL))
                return
            with Path(asked.file).open("w", encoding="utf-8", newline="") as file:
                file.writelines(write_labels(records, _format(Path(asked.file))))
    finally:
        database.close()


def run_import(asked: argparse.Namespace) -> None:
    format = _format(asked.file)
    try:
        content = asked.file.read_bytes()
    except OSError as error:
        raise Invalid(f"{asked.file} cannot be read: {error.strerror}.") from error
    database = existing_database(settings_of(asked))
    try:
        with database.write() as session:
            dictionary = get_dictionary(session, asked.id)
            records = read_labels(content, format, dictionary.n_features)
            if asked.dry_run:
                report = plan_import(session, dictionary, records).report
            else:
                report = import_labels(session, dictionary, records, asked.author)
    finally:
        database.close()
    print(
        f"{report.added:,} labels {'would be ' if asked.dry_run else ''}added, {report.changed:,} given another score, "
        f"{report.starred:,} stars given; {report.unchanged:,} were there already."
    )


def _format(file: Path) -> LabelFormat:
    try:
        return LabelFormat(file.suffix.removeprefix(".").lower())
    except ValueError:
        raise Invalid(f"{file.name} is neither .csv nor .jsonl; its name says how it is written.") from None
