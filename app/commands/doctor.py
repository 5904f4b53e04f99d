"""`featurescope doctor`: say what is here, and what is in the way."""

import argparse
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from app.commands.index import add_model_and_sae, options_of
from app.commands.options import Subparsers, add_database, settings_of
from app.engine.demo import demo_folder
from app.errors import Invalid, NotFound
from app.settings import database_url
from app.store.database import SCHEMA, Database
from app.store.dictionaries import list_dictionaries
from app.version import VERSION


def add_to(commands: Subparsers) -> None:
    command = commands.add_parser(
        "doctor", help="say what is here, and what is in the way; with --sae, whether it fits its model"
    )
    add_model_and_sae(command, required=False)
    command.add_argument("--corpus", nargs="+", metavar="FILE", help="texts to try the SAE on (default: English)")
    add_database(command)
    command.set_defaults(run=run)


def run(asked: argparse.Namespace) -> None:
    """Prints what there is; raises the first thing that stands in the way of serving."""
    if asked.sae is not None:
        fit(asked)
        return
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


def fit(asked: argparse.Namespace) -> None:
    """Prints the SAE's fit as it is to run, and as each usual mistake would have it. Raises Invalid where it is bad."""
    from app.engine.load_check import explain
    from app.index.build import load, make_reader
    from app.index.corpus import corpus_files
    from app.index.fit import check_fit

    options = options_of(asked, id="doctor", corpus=asked.corpus or ["seed"])
    reader = make_reader(options, *load(options))
    check = check_fit(reader, corpus_files(options.corpus))
    rows = [("as it is to run", check.fit), *((trial.change, trial.fit) for trial in check.trials)]
    print(f"{options.sae} on {options.model}, {check.setting}, over {check.fit.n_tokens:,} tokens\n")
    print(f"{'':66} explained     L0  silent  norm ratio")
    for what, found in rows:
        print(
            f"{what:66} {found.explained_variance:9.3f} {found.l0:6.1f}  {found.silent:6.1%}  {found.norm_ratio:10.2f}"
        )
    l0 = "?" if check.stated_l0 is None else f"{check.stated_l0:g}"
    print(f"{'usual':66}  0.6-0.95 {l0:>6}               0.8-1\n")
    if not check.fits:
        raise Invalid(explain(check, reader.sae.model_name, reader.model.name))
    print("It fits.")
