"""Templates and static files: where they lie, and addresses of static files that change with their content."""

import hashlib
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from time import monotonic
from urllib.parse import parse_qs

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

APP = Path(__file__).resolve().parent.parent
A_YEAR = "public, max-age=31536000, immutable"


def bundled(name: str) -> Path:
    """The folder `name` ("templates", "static"): inside an installed package, or beside `app` in a checkout."""
    inside = APP / "bundled" / name
    return inside if inside.is_dir() else APP.parent / name


def has_static(path: str) -> bool:
    """Whether a static file is there: third-party scripts are installed, and the site works without them."""
    return _looked_at(path, int(monotonic())) is not None


def static_url(path: str) -> str:
    """The address of a static file, with a hash of its content, so that browsers may keep it for good."""
    version = _looked_at(path, int(monotonic()))
    if version is None:
        raise FileNotFoundError(bundled("static") / path)
    return f"/static/{path}?v={version}"


@lru_cache(maxsize=1024)
def _looked_at(path: str, _second: int) -> str | None:
    """The file's version, None where there is no file. A page names a dozen: each is looked at once a second."""
    file = bundled("static") / path
    return _version(file) if file.is_file() else None


def _version(file: Path) -> str:
    stat = file.stat()
    return _hash(file, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=1024)
def _hash(file: Path, _modified: int, _size: int) -> str:
    """The time and size are in the key so that an edited file gets its new hash without a restart."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]


class Assets(StaticFiles):
    """Static files: kept for good under the address that carries their hash, asked about again under any other."""

    def __init__(self) -> None:
        super().__init__(directory=bundled("static"))

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        asked = _query(scope).get("v")
        response.headers["cache-control"] = A_YEAR if asked == [_version(Path(full_path))] else "no-cache"
        return response


def _query(scope: Scope) -> Mapping[str, list[str]]:
    return parse_qs(scope["query_string"].decode("latin-1"))
