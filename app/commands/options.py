"""What several commands take, and what they make of it: the database, the server's settings, the folder of a build."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from sqlalchemy import make_url

from app.errors import NotFound
from app.settings import Settings, database_url, read_settings
from app.store.database import Database

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_database(command: argparse.ArgumentParser) -> None:
    command.add_argument("--db", help="a SQLite file or a database URL (default: featurescope.db in this folder)")


def add_model_loading(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--device-map", metavar="MAP", help="spread a large model over devices: auto (needs accelerate)"
    )
    command.add_argument(
        "--trust-remote-code", action="store_true", help="run Python code that the model brings along (default: refuse)"
    )


def add_serving(command: argparse.ArgumentParser) -> None:
    command.add_argument("--host", help="where to listen (default: 127.0.0.1, this machine alone)")
    command.add_argument("--port", type=int, help="(default: 8000)")
    command.add_argument("--device", help="where live texts run: cpu, cuda, cuda:1, mps (default: cpu)")
    add_model_loading(command)
    command.add_argument("--warm", action="store_true", help="load every dictionary's model and SAE before answering")
    command.add_argument("--memory", type=int, metavar="BYTES", help="of loaded weights at most (default: 8000000000)")
    command.add_argument("--no-model", action="store_true", help="serve browsing alone; torch is never loaded")
    command.add_argument("--access", choices=("token", "proxy"), help="who may do what (docs/operations.md)")
    command.add_argument("--read-only", action="store_true", help="everybody may look, nobody may change anything")
    command.add_argument("--proxies", help="addresses whose headers are believed (default: 127.0.0.1,::1)")
    command.add_argument("--proxy-header", help="the header that names a person (default: X-Forwarded-User)")
    command.add_argument("--public-url", help="where people reach the server, such as https://lens.example.org")
    command.add_argument("--root-path", help="the path of a site that it is served under, such as /featurescope")
    command.add_argument("--hosts", help="further host names that it answers to, with commas")
    command.add_argument("--live-rate", type=int, help="live calls of one person in a minute; 0: any (default: 120)")
    command.add_argument("--log", choices=("plain", "json"), help="write a line for each request (default: warnings)")
    add_database(command)


_PLAIN = ("access", "live_rate", "proxies", "proxy_header", "public_url", "root_path", "hosts", "log")


def settings_of(asked: argparse.Namespace) -> Settings:
    """From the environment, then from what the command was given."""
    return read_settings(
        db=asked.db,
        host=getattr(asked, "host", None),
        port=getattr(asked, "port", None),
        device=getattr(asked, "device", None),
        device_map=getattr(asked, "device_map", None),
        trust_remote_code=True if getattr(asked, "trust_remote_code", False) else None,
        memory=getattr(asked, "memory", None),
        warm=True if getattr(asked, "warm", False) else None,
        model=False if getattr(asked, "no_model", False) else None,
        read_only=True if getattr(asked, "read_only", False) else None,
        **{name: getattr(asked, name, None) for name in _PLAIN},
    )


def existing_database(settings: Settings) -> Database:
    """A database that is there already: listing and removing make none. Raises NotFound."""
    if "://" not in settings.db and not Path(settings.db).expanduser().exists():
        raise NotFound(f"There is no database {settings.db}; give its path with --db, or index something first.")
    return Database(database_url(settings.db))


def work_folder(settings: Settings, id: str) -> Path:
    """Where a build of this id keeps what it has recorded: beside a SQLite file, else in the current folder."""
    beside = Path(settings.db).expanduser() if "://" not in settings.db else _sqlite_file(settings.db)
    return Path(f"{(beside or Path('featurescope')).resolve()}.builds") / id


def _sqlite_file(url: str) -> Path | None:
    parsed = make_url(url)
    return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None


@contextmanager
def progress_bar(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A bar with rate and time left, told how much is done of how much. Nothing is shown where none is told."""
    from tqdm import tqdm

    interval = 0.2 if sys.stderr.isatty() else 10
    bar = tqdm(total=0, desc=what, unit=unit, unit_scale=True, mininterval=interval, file=sys.stderr, delay=1)

    def report(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    with bar:
        yield report
