"""A stand-in for the Hugging Face hub over HTTP, speaking its protocol for what a client downloads.

Listings, redirects of large files to a CDN's address, ranges, checksums as ETags, and errors by their code; and, when
told to, a connection that breaks in the middle, bytes that are not those of the checksum, and a server that is down.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlparse

COMMIT = "c0ffee" + "0" * 34
LARGE = (".safetensors", ".npz", ".pt", ".pth", ".gguf")


@dataclass
class Hub:
    """repositories: owner/name -> its folder. What is asked is kept in `requests` as (method, path, range)."""

    repositories: dict[str, Path]
    # File name -> after how many bytes the connection breaks; each once.
    cut: dict[str, int] = field(default_factory=dict)
    # Names of files that arrive with a wrong byte.
    damaged: set[str] = field(default_factory=set)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    address: str = ""

    def environment(self, cache: Path) -> dict[str, str]:
        """What makes huggingface_hub come here, through its own settings."""
        return {"HF_ENDPOINT": self.address, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}


@contextmanager
def serving_hub(repositories: dict[str, Path]) -> Iterator[Hub]:
    hub = Hub(repositories)

    class Handler(_Handler):
        asked = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    asked: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests ask `requests`."""

    def _answer(self) -> None:
        path = unquote(urlparse(self.path).path).strip("/")
        self.asked.requests.append((self.command, path, self.headers.get("Range")))
        parts = path.split("/")
        if parts[0] == "cdn":
            return self._file(self.asked.repositories["/".join(parts[1:3])] / "/".join(parts[3:]), parts[-1])
        if parts[:2] == ["api", "models"]:
            repo, call, rest = "/".join(parts[2:4]), parts[4:5], parts[6:]
        else:
            repo, call, rest = "/".join(parts[:2]), parts[2:3], parts[4:]
        folder = self.asked.repositories.get(repo)
        if folder is None:
            return self._refuse(401, "RepoNotFound", "Repository not found")
        if parts[0] == "api" and call in ([], ["revision"]):
            names = [str(f.relative_to(folder)) for f in sorted(folder.rglob("*")) if f.is_file()]
            return self._json({"id": repo, "sha": COMMIT, "tags": [], "siblings": [{"rfilename": n} for n in names]})
        revision = parts[5 if parts[0] == "api" else 3]
        if revision not in ("main", COMMIT):
            return self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        below = folder / "/".join(rest)
        if call == ["tree"] and below.is_dir():
            every = below.rglob("*") if "recursive=true" in self.path.lower() else below.iterdir()
            return self._json([_entry(folder, file) for file in sorted(every)])
        if call == ["resolve"] and below.is_file():
            return self._resolved(repo, folder, below)
        return self._refuse(404, "EntryNotFound", "Entry not found")

    def _resolved(self, repo: str, folder: Path, file: Path) -> None:
        """A small file at once; of a large one its checksum, size and where it lies."""
        if file.suffix not in LARGE:
            self._file(file, file.name)
            return
        content = file.read_bytes()
        self.send_response(302)
        self.send_header("Location", f"{self.asked.address}/cdn/{repo}/{file.relative_to(folder)}")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("X-Linked-Etag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Linked-Size", str(len(content)))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _file(self, file: Path, name: str) -> None:
        content = file.read_bytes()
        etag = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
        if name in self.asked.damaged:
            content = content[:-1] + bytes([content[-1] ^ 0xFF])
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{etag}"')
        self.end_headers()
        if self.command == "HEAD":
            return
        if start == 0 and name in self.asked.cut:
            self.wfile.write(content[: self.asked.cut.pop(name)])
            self.wfile.flush()
            self.close_connection = True
            return
        self.wfile.write(content[start:])

    def _json(self, answer: object) -> None:
        self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._send(status, json.dumps({"error": message}).encode(), {"X-Error-Code": code, "X-Error-Message": message})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "X-Repo-Commit": COMMIT, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _entry(folder: Path, file: Path) -> dict[str, object]:
    """A line of a listing: of a large file also its SHA-256."""
    path = str(file.relative_to(folder))
    if file.is_dir():
        return {"type": "directory", "oid": "0" * 40, "size": 0, "path": path}
    content = file.read_bytes()
    oid = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
    entry: dict[str, object] = {"type": "file", "oid": oid, "size": len(content), "path": path}
    if file.suffix in LARGE:
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return entry
