"""The command line: parsing, and errors as one sentence. What commands do stands in app/commands.py."""

import argparse
import errno
import sys
from collections.abc import Sequence

from app import commands
from app.errors import FeaturescopeError
from app.version import VERSION

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script. Returns the exit status."""
    asked = parser().parse_args(arguments)
    try:
        commands.COMMANDS[asked.command](asked)
    except FeaturescopeError as error:
        print(f"featurescope: {error}", file=sys.stderr)
        return EXIT_ERROR
    except BrokenPipeError:  # the reader of our output has gone
        sys.stderr.close()
        return EXIT_ERROR
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        where = f" ({error.filename})" if error.filename else ""
        print(
            f"featurescope: The disk is full{where}: make room and repeat the command. Nothing stored is lost.",
            file=sys.stderr,
        )
        return EXIT_ERROR
    except KeyboardInterrupt:
        print(
            "\nfeaturescope: interrupted; what was done is kept, the same command goes on from there.", file=sys.stderr
        )
        return EXIT_INTERRUPTED
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="featurescope", description="Browse what the features of an SAE fire on.")
    made.add_argument("--version", action="version", version=f"featurescope {VERSION}")
    each = made.add_subparsers(dest="command", required=True, metavar="COMMAND")

    demo = each.add_parser("demo", help="index the bundled demo if needed, then serve it")
    _serving(demo)

    index = each.add_parser("index", help="run a corpus through a model and its SAE, and store what its features do")
    index.add_argument("id", metavar="ID", help="the dictionary's name in addresses: letters, digits, '-', '_', '.'")
    index.add_argument("--model", required=True, help="a Hugging Face model: a folder, a name on the hub, or 'demo'")
    index.add_argument("--sae", required=True, help="an SAE: a folder or file, or 'demo'")
    index.add_argument("--corpus", required=True, nargs="+", metavar="FILE", help=".txt, .jsonl or .csv, also .gz, .xz")
    index.add_argument("--hook", help="where the SAE reads, such as blocks.4.hook_resid_post (default: as it says)")
    index.add_argument("--title", help="what pages call it (default: its ID)")
    index.add_argument("--context", type=int, default=128, help="tokens run at once (default: 128)")
    index.add_argument("--batch-tokens", type=int, default=4096, help="tokens a batch (default: 4096)")
    index.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: cpu)")
    index.add_argument("--dtype", default="float32", help="float32 (default), bfloat16 or float16")
    index.add_argument("--seed", type=int, default=0, help="of the samples drawn (default: 0)")
    index.add_argument(
        "--quality-tokens",
        type=int,
        default=20_000,
        help="tokens over which variance explained and loss recovered are measured; 0 leaves them out (default: 20000)",
    )
    index.add_argument("--replace", action="store_true", help="put it in the place of a dictionary of this ID")
    index.add_argument("--restart", action="store_true", help="begin anew, where an unfinished build would go on")
    _database(index)

    serve = each.add_parser("serve", help="serve what is indexed")
    _serving(serve)

    listed = each.add_parser("dictionaries", help="list what is indexed")
    _database(listed)

    remove = each.add_parser("remove", help="remove a dictionary, with its labels")
    remove.add_argument("id", metavar="ID")
    remove.add_argument("--yes", action="store_true", help="do not ask")
    _database(remove)

    doctor = each.add_parser("doctor", help="say what is here, and what is in the way")
    _database(doctor)
    return made


def _database(made: argparse.ArgumentParser) -> None:
    made.add_argument("--db", help="a SQLite file or a database URL (default: featurescope.db in this folder)")


def _serving(made: argparse.ArgumentParser) -> None:
    made.add_argument("--host", help="where to listen (default: 127.0.0.1, this machine alone)")
    made.add_argument("--port", type=int, help="(default: 8000)")
    made.add_argument("--device", help="where live texts run: cpu, cuda, cuda:1, mps (default: cpu)")
    made.add_argument("--no-model", action="store_true", help="serve browsing alone; torch is never loaded")
    _database(made)


if __name__ == "__main__":
    sys.exit(main())
