"""The command line: parsing, and errors as one sentence. Each command is a file in app/commands."""

import argparse
import errno
import sys
from collections.abc import Sequence

from app.commands import (
    audit,
    backup,
    check,
    copy,
    demo,
    dictionaries,
    doctor,
    index,
    inspect,
    labels,
    merge,
    people,
    private,
    remove,
    restore,
    saes,
    serve,
    tokens,
    vacuum,
)
from app.errors import FeaturescopeError
from app.version import VERSION

COMMANDS = (
    *(demo, index, merge, serve, dictionaries, remove, inspect, saes, doctor),
    *(copy, backup, restore, check, vacuum, labels),
    *(tokens, people, private, audit),
)
EXIT_ERROR = 1
EXIT_INTERRUPTED = 130
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script. Returns the exit status."""
    asked = parser().parse_args(arguments)
    try:
        asked.run(asked)
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
    for command in COMMANDS:
        command.add_to(each)
    return made


if __name__ == "__main__":
    sys.exit(main())
