"""Files of the Hugging Face hub: from its cache, or downloaded, resumed where the connection broke, and checked."""

import hashlib
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from app.errors import Invalid, NotFound

_BLOCK = 1 << 20
# What lies beside weights and is never read: pictures, and the states of optimizers.
_LEFT_OUT = (".png", ".jpg", ".html", ".md", ".ipynb")


def fetch(repo: str, path: str, revision: str = "main") -> Path:
    """A folder or file of a repository, as a local path; `path` "" is the whole repository.

    With a file come the files beside it that begin with its name, such as its settings. Offline (HF_HUB_OFFLINE, or no
    connection) what the cache holds is taken. Raises NotFound, Invalid.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError, RepositoryNotFoundError

    where = f"{repo}/{path}".rstrip("/")
    try:
        files = _listed(repo, path, revision)
        if files is None:
            return _cached(repo, path, revision)
        before = _blobs(repo)
        found = [_checked(Path(hf_hub_download(repo, name, revision=revision)), name, before) for name in files]
    except RepositoryNotFoundError as error:
        raise NotFound(
            f"The hub has no repository {repo}, or it is gated: accept its terms there and log in with `hf auth login`."
        ) from error
    except EntryNotFoundError as error:
        raise NotFound(f"The hub has no {where} (revision {revision}).") from error
    except HFValidationError as error:
        raise Invalid(f"{repo!r} is no name of a repository: it takes owner/name.") from error
    except OSError as error:
        raise Invalid(
            f"{where} could not be downloaded ({_first_line(error)}); repeat the command to try again."
        ) from error
    return _up(found[0], files[0], path)


def _listed(repo: str, path: str, revision: str) -> list[str] | None:
    """The names of the files to have, or None where the hub cannot be asked."""
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, OfflineModeIsEnabled
    from huggingface_hub.hf_api import RepoFile

    api = HfApi()
    if _in_cache(repo, path, revision) is not None and not _answers(str(api.endpoint)):
        return None
    above = str(PurePosixPath(path).parent) if path else "."
    try:
        beside = list(api.list_repo_tree(repo, None if above == "." else above, revision=revision))
        if path and not any(entry.path == path for entry in beside):
            raise EntryNotFoundError(path)
        if any(entry.path == path and isinstance(entry, RepoFile) for entry in beside):
            stem = path.split(".pt")[0] if ".pt" in path else path.removesuffix(PurePosixPath(path).suffix)
            files = [entry.path for entry in beside if isinstance(entry, RepoFile) and entry.path.startswith(stem)]
            return sorted(files, key=lambda name: name != path)  # the file itself first
        tree = api.list_repo_tree(repo, path or None, recursive=True, revision=revision)
        files = [entry.path for entry in tree if isinstance(entry, RepoFile)]
    except (OfflineModeIsEnabled, httpx2.ConnectError, httpx2.TimeoutException):
        return None
    except HfHubHTTPError as error:
        if error.response.status_code >= 500:
            return None
        raise
    files = [name for name in files if not name.lower().endswith(_LEFT_OUT) and "optimizer" not in name.lower()]
    if not files:
        raise EntryNotFoundError(path)
    return files


def _answers(endpoint: str) -> bool:
    """Asked for a moment: huggingface_hub's own calls try for half a minute, for nothing where the path is cached."""
    import httpx2
    from huggingface_hub import constants, get_session
    from huggingface_hub.errors import OfflineModeIsEnabled

    try:
        get_session().head(endpoint, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except (OfflineModeIsEnabled, httpx2.TransportError):
        return False
    return True


def _cached(repo: str, path: str, revision: str) -> Path:
    """What an earlier download left. Raises NotFound, saying that nothing could be asked."""
    found = _in_cache(repo, path, revision)
    if found is None:
        raise NotFound(
            f"{repo}/{path} is not in the cache of downloads, and the hub cannot be reached (no connection, or "
            "HF_HUB_OFFLINE is set). Download it once with a connection, or give the path of a copy."
        )
    return found


def _in_cache(repo: str, path: str, revision: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(repo, revision=revision, local_files_only=True, allow_patterns=["-none-"]))
    except LocalEntryNotFoundError:
        return None
    return folder / path if (folder / path).exists() else None


def _blobs(repo: str) -> set[str]:
    """The names of what the cache holds of a repository: of each file its checksum, as the hub says it."""
    from huggingface_hub import constants

    return {file.name for file in Path(constants.HF_HUB_CACHE).glob(f"models--{repo.replace('/', '--')}/blobs/*")}


def _checked(local: Path, name: str, before: Collection[str]) -> Path:
    """A file of the cache, checked if it is new. Raises Invalid for one that arrived damaged."""
    blob = local.resolve()
    # SHA-256 for large files, Git's SHA-1 for small ones.
    if blob.name not in before and len(blob.name) in (40, 64):
        found = _checksum(blob, "sha256" if len(blob.name) == 64 else "sha1")
        if found != blob.name:
            blob.unlink()
            local.unlink(missing_ok=True)
            raise Invalid(
                f"{name} arrived damaged: its checksum is {found[:12]}..., and the hub says {blob.name[:12]}.... "
                "It was removed; repeat the command to download it again."
            )
    return local


def _checksum(file: Path, kind: str) -> str:
    made = hashlib.sha256() if kind == "sha256" else hashlib.sha1(usedforsecurity=False)
    if kind == "sha1":
        made.update(f"blob {file.stat().st_size}\0".encode())
    with file.open("rb") as opened:
        while block := opened.read(_BLOCK):
            made.update(block)
    return made.hexdigest()


def _up(local: Path, name: str, path: str) -> Path:
    """From a downloaded file `name` to `path`, which is that file or a folder above it."""
    below = len(PurePosixPath(name).parts) - len(PurePosixPath(path).parts)
    return local if below == 0 else local.parents[below - 1]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
