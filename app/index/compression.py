"""Compressed files opened as plain ones, by their suffix."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from app.errors import Invalid


def _open_zst(raw: Any, _mode: str) -> Any:
    import zstandard

    return zstandard.open(raw, "rb")


def _zst_errors() -> tuple[type[Exception], ...]:
    return (import_module("zstandard").ZstdError,) if find_spec("zstandard") else ()


OPENERS: Mapping[str, Callable[[Any, str], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": _open_zst,
}
READ_ERRORS: tuple[type[Exception], ...] = (OSError, EOFError, lzma.LZMAError, zlib.error, *_zst_errors())


def open_compressed(file: Path, raw: IO[bytes]) -> IO[bytes]:
    """Raises Invalid where what reads it is not installed."""
    try:
        opened: IO[bytes] = OPENERS[file.suffix](raw, "rb")
    except ImportError as error:
        raise Invalid(f"{file.name}: {file.suffix} needs a package: pip install 'featurescope[corpora]'.") from error
    return opened
