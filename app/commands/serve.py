"""`featurescope serve`: serve what is indexed."""

import argparse
import errno
import gc
import socket

from app.access.rule import check_access
from app.commands.options import Subparsers, add_serving, settings_of
from app.errors import Conflict, Invalid
from app.settings import Settings, database_url
from app.store.database import Database
from app.store.tokens import list_tokens


def add_to(commands: Subparsers) -> None:
    command = commands.add_parser("serve", help="serve what is indexed")
    add_serving(command)
    command.set_defaults(run=run)


def run(asked: argparse.Namespace) -> None:
    settings = settings_of(asked)
    check_access(settings)
    check_port_free(settings)
    serve_settings(settings)


def check_port_free(settings: Settings) -> None:
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


def serve_settings(settings: Settings) -> None:
    gc.disable()  # until it listens: what is loaded stays, and to look through it again and again takes 0.1 s
    from app.listening import listen

    if "://" not in settings.db:
        database = Database(database_url(settings.db))  # what is wrong with it, before the server starts
        with database.read() as session:
            if settings.access == "token" and not list_tokens(session):
                print("Nobody can sign in yet; make a token: featurescope tokens create NAME --role admin", flush=True)
        database.close()
    listen(settings)
