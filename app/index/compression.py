"""Compressed files opened as plain ones, by their suffix."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from app.errors import Invalid

_BLOCK = 1 << 16  # compressed bytes taken at once


def _open_zst(raw: Any, _mode: str) -> Any:
    return io.BufferedReader(_Zst(raw, import_module("zstandard").ZstdDecompressor()))


class _Zst(io.RawIOBase):
    """Frames one after another. The package's own reader takes a file that is cut off for one that ends."""

    def __init__(self, raw: IO[bytes], decompressor: Any) -> None:
        self._raw = raw
        self._decompressor = decompressor
        self._frame: Any = None
        self._compressed = self._made = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._made:
            block = self._compressed or self._raw.read(_BLOCK)
            if not block:
                if self._frame is not None:
                    raise EOFError("it is cut off")
                return 0
            frame = self._frame or self._decompressor.decompressobj()
            self._made = frame.decompress(block)
            self._compressed = frame.unused_data if frame.eof else b""
            self._frame = None if frame.eof else frame
        n = min(len(buffer), len(self._made))
        buffer[:n] = self._made[:n]
        self._made = self._made[n:]
        return n


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
