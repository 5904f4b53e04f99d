"""`featurescope demo`: index the bundled demo if needed, then serve it."""

import argparse

from app.access.rule import check_access
from app.commands.options import Subparsers, add_serving, settings_of, work_folder
from app.commands.serve import check_port_free, serve_settings
from app.engine.demo import DEMO
from app.settings import database_url
from app.store.database import Database
from app.store.dictionaries import list_dictionaries

SEED = "seed"
DEMO_TITLES = {DEMO: "Demo: 56 topics", SEED: "Seed: first sentences"}


def add_to(commands: Subparsers) -> None:
    command = commands.add_parser("demo", help="index the bundled demo if needed, then serve it")
    add_serving(command)
    command.set_defaults(run=run)


def run(asked: argparse.Namespace) -> None:
    settings = settings_of(asked)
    check_access(settings)
    check_port_free(settings)
    database = Database(database_url(settings.db))
    try:
        with database.read() as session:
            present = {dictionary.id for dictionary in list_dictionaries(session)}
        missing = [id for id in DEMO_TITLES if id not in present]
        if missing:
            from app.index.build import build_index
            from app.index.options import BuildOptions
            from app.index.progress import say

            for number, id in enumerate(missing, 1):
                say(f"Indexing the dictionary {id} ({number} of {len(missing)}).")
                options = BuildOptions(id=id, title=DEMO_TITLES[id], model=DEMO, sae=DEMO, corpus=[id])
                build_index(options, database, work_folder(settings, id))
    finally:
        database.close()
    serve_settings(settings)
