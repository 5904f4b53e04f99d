"""What each command does. torch and transformers are imported only by the commands that run a model."""

import argparse
import errno
import logging
import socket
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from app.engine.demo import DEMO, demo_folder
from app.errors import Conflict, Invalid, NotFound
from app.settings import Settings, database_url, read_settings
from app.store.database import SCHEMA, Database
from app.store.dictionaries import get_dictionary, list_dictionaries
from app.store.write import remove_dictionary
from app.version import VERSION

SEED = "seed"
DEMO_TITLES = {DEMO: "Demo: 56 topics", SEED: "Seed: first sentences"}


def demo(asked: argparse.Namespace) -> None:
    settings = _settings(asked)
    _check_port_free(settings)
    database = Database(database_url(settings.db))
    try:
        with database.read() as session:
            present = {dictionary.id for dictionary in list_dictionaries(session)}
        missing = [id for id in DEMO_TITLES if id not in present]
        if missing:
            from app.index.build import BuildOptions, build_index, say

            for number, id in enumerate(missing, 1):
                say(f"Indexing the dictionary {id} ({number} of {len(missing)}).")
                options = BuildOptions(id=id, title=DEMO_TITLES[id], model=DEMO, sae=DEMO, corpus=[id])
                build_index(options, database, work_folder(settings, id))
    finally:
        database.close()
    _serve(settings)


def index(asked: argparse.Namespace) -> None:
    from app.index.build import BuildOptions, build_index, check_device, say

    settings = _settings(asked)
    check_device(settings.device)
    options = BuildOptions(
        id=asked.id,
        title=asked.title,
        model=asked.model,
        sae=asked.sae,
        corpus=asked.corpus,
        hook=asked.hook,
        context=asked.context,
        batch_tokens=asked.batch_tokens,
        device=settings.device,
        dtype=asked.dtype,
        seed=asked.seed,
        quality_tokens=asked.quality_tokens,
        replace=asked.replace,
        restart=asked.restart,
    )
    database = Database(database_url(settings.db))
    try:
        made = build_index(options, database, work_folder(settings, asked.id))
    finally:
        database.close()
    quality = made.quality
    say(
        f"{made.id} is indexed: {made.n_features:,} features over {made.n_tokens:,} tokens of "
        f"{made.n_sentences:,} sentences; L0 {quality.l0:.1f}, {quality.dead_share:.1%} dead.\n"
        f"See it with: featurescope serve{'' if asked.db is None else f' --db {asked.db}'}"
    )


def serve(asked: argparse.Namespace) -> None:
    settings = _settings(asked)
    _check_port_free(settings)
    _serve(settings)


def dictionaries(asked: argparse.Namespace) -> None:
    database = _existing(_settings(asked))
    try:
        with database.read() as session:
            for d in list_dictionaries(session):
                print(f"{d.id}\t{d.n_features:,} features\t{d.n_tokens:,} tokens\t{d.model} {d.hook_point}\t{d.title}")
    finally:
        database.close()


def remove(asked: argparse.Namespace) -> None:
    database = _existing(_settings(asked))
    try:
        with database.read() as session:
            found = get_dictionary(session, asked.id)
        if not asked.yes:
            if not sys.stdin.isatty():
                raise Invalid(f"Removing {asked.id} also removes its labels; give --yes to do it.")
            answer = input(f"Remove {found.id} ({found.n_features:,} features) and its labels? [y/N] ")
            if answer.strip().lower() not in ("y", "yes"):
                print("Nothing was removed.")
                return
        remove_dictionary(database, asked.id)
        print(f"{asked.id} is removed.")
    finally:
        database.close()


def doctor(asked: argparse.Namespace) -> None:
    """Prints what there is; raises the first thing that stands in the way of serving."""
    settings = _settings(asked)
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


COMMANDS: Mapping[str, Callable[[argparse.Namespace], None]] = {
    "demo": demo,
    "index": index,
    "serve": serve,
    "dictionaries": dictionaries,
    "remove": remove,
    "doctor": doctor,
}


def work_folder(settings: Settings, id: str) -> Path:
    """Where a build of this id keeps what it has recorded: beside a SQLite file, else in the current folder."""
    beside = Path(settings.db).expanduser() if "://" not in settings.db else _sqlite_file(settings.db)
    return Path(f"{beside or 'featurescope'}.builds") / id


def _sqlite_file(url: str) -> Path | None:
    from sqlalchemy import make_url

    parsed = make_url(url)
    return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None


def _settings(asked: argparse.Namespace) -> Settings:
    """From the environment, then from what the command was given."""
    return read_settings(
        db=asked.db,
        host=getattr(asked, "host", None),
        port=getattr(asked, "port", None),
        device=getattr(asked, "device", None),
        model=False if getattr(asked, "no_model", False) else None,
    )


def _existing(settings: Settings) -> Database:
    """A database that is there already: listing and removing make none. Raises NotFound."""
    if "://" not in settings.db and not Path(settings.db).expanduser().exists():
        raise NotFound(f"There is no database {settings.db}; give its path with --db, or index something first.")
    return Database(database_url(settings.db))


def _check_port_free(settings: Settings) -> None:
    """Asked before the long work, and so that a port in use is one sentence. Raises Conflict or Invalid."""
    if not 0 <= settings.port <= 65535:
        raise Invalid(f"--port {settings.port} cannot be; a port is a number from 1 to 65535.")
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((settings.host, settings.port))
    except socket.gaierror as error:
        raise Invalid(f"{settings.host!r} is no address of this machine; --host takes 127.0.0.1 or 0.0.0.0.") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Conflict(
                f"Port {settings.port} of {settings.host} is in use by another program; choose another with "
                "--port (make run PORT=8001)."
            ) from error
        if error.errno == errno.EACCES:
            raise Invalid(f"Port {settings.port} needs more rights than you have; choose one above 1023.") from error
        raise Invalid(f"{settings.host}:{settings.port} cannot be listened on: {error.strerror}.") from error


def _serve(settings: Settings) -> None:
    import uvicorn

    from app.main import create_app

    if "://" not in settings.db:
        Database(database_url(settings.db)).close()  # what is wrong with it, before the server starts
    shown = f"[{settings.host}]" if ":" in settings.host else settings.host
    logging.getLogger("uvicorn.error").addFilter(lambda record: "Uvicorn running on" not in record.getMessage())

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                print(f"Featurescope is at http://{shown}:{settings.port} (stop it with Ctrl-C)", flush=True)

    config = uvicorn.Config(
        create_app(settings), host=settings.host, port=settings.port, log_level="warning", server_header=False
    )
    Server(config).run()
