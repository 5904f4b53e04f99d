"""`featurescope doctor`: say what is here, and what is in the way."""

import argparse
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from app.commands.options import Subparsers, add_database, settings_of
from app.engine.demo import demo_folder
from app.errors import NotFound
from app.settings import database_url
from app.store.database import SCHEMA, Database
from app.store.dictionaries import list_dictionaries
from app.version import VERSION


def add_to(commands: Subparsers) -> None:
    command = commands.add_parser("doctor", help="say what is here, and what is in the way")
    add_database(command)
    command.set_defaults(run=run)


def run(asked: argparse.Namespace) -> None:
    """Prints what there is; raises the first thing that stands in the way of serving."""
    settings = settings_of(asked)
    print(f"featurescope {VERSION}, Python {sys.version.split()[0]}, schema {SCHEMA}")
    for name in ("torch", "transformers", "fastapi", "sqlalchemy"):
        try:
            print(f"{name} {version(name)}")
        except PackageNotFoundError:
            print(f"{name} is not installed")
    try:
        print(f"demo: {'model and SAE' if (demo_folder() / 'model').is_dir() else 'corpus alone'}")
    except NotFound:
        print("demo: not installed here")
    from app.pages.assets import has_static

    print("htmx: " + ("yes" if has_static("vendor/htmx.min.js") else "no (pages work without it)"))
    if "://" not in settings.db and not Path(settings.db).expanduser().exists():
        print(f"database: none at {settings.db} yet")
        return
    database = Database(database_url(settings.db))
    try:
        with database.read() as session:
            print(f"database: {database.name}, {len(list_dictionaries(session))} dictionaries")
    finally:
        database.close()
