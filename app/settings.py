"""Every setting, documented in place; each is read from the environment variable FEATURESCOPE_<NAME>."""

import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from app.errors import Invalid

PREFIX = "FEATURESCOPE_"


@dataclass(frozen=True)
class Settings:
    """What one server or one build is told. Limits are named in the error of whoever goes beyond them."""

    # The database: a path of a SQLite file, or a database URL (sqlite:///... or postgresql+psycopg://...).
    db: str = "featurescope.db"
    # Where the server listens.
    host: str = "127.0.0.1"
    port: int = 8000
    # Serve the live pages; off: browsing alone, and torch is never loaded.
    model: bool = True
    # Where models run: cpu, cuda, cuda:1, mps.
    device: str = "cpu"
    # How a model is spread over devices by accelerate (auto), in place of `device`.
    device_map: str = ""
    # Run Python code that a model brings along in its own repository.
    trust_remote_code: bool = False
    # Characters of one live text, texts in one API call, and bytes of one request body.
    max_text: int = 20_000
    max_texts: int = 64
    max_body: int = 1_000_000
    # Of one steered text: tokens written, samples, features pushed at once.
    max_new_tokens: int = 200
    max_samples: int = 4
    max_steered: int = 20
    # Features that one attribution may ablate.
    max_ablated: int = 50
    # Loaded models are dropped, the least recently used first, above this many bytes.
    memory: int = 8_000_000_000
    # Threads of torch on the processor; 0: one fewer than there are processors, so that one is left to serve pages, and
    # all of them for a long step (a large model's batch).
    threads: int = 0
    # Processes that run models. The first runs all of them; the others begin while many ask at once for a small model's
    # activations, take a share of these, and end when that is over (1: none). Each takes torch once more (300 MB), and
    # of weights at most an eighth of `memory`. There are never more of them than processors.
    model_processes: int = 2
    # Load the models of every dictionary at start, instead of when the first text comes.
    warm: bool = False
    # Live requests that may be at the model, waiting or worked on, before the server answers 503.
    max_waiting: int = 32
    # Seconds that one live request may take, waiting included.
    max_seconds: int = 120
    # Who may do what. "": everybody, and then the server listens on loopback alone, or with read_only;
    # "token": people and programs sign in with tokens; "proxy": a proxy says in a header who it is.
    access: str = ""
    # Nobody changes anything, whatever their role.
    read_only: bool = False
    # The role of who has not signed in (nobody or read), and of whom OpenID Connect or the proxy names and who was
    # given no role of their own (nobody, read or label).
    anonymous: str = "nobody"
    newcomers: str = "read"
    # Proxies whose headers are believed (addresses or networks, with commas), and the header that names a person.
    proxies: str = "127.0.0.1,::1"
    proxy_header: str = "x-forwarded-user"
    # Where people reach the server (https://lens.example.org/scope): for sign-in through OpenID Connect, for cookies
    # that travel encrypted alone, and as a host that is answered.
    public_url: str = ""
    # Sign-in through OpenID Connect: the provider, this server's name and secret there, the claim that names people.
    openid_issuer: str = ""
    openid_client: str = ""
    openid_secret: str = field(default="", repr=False)
    openid_claim: str = "email"
    # The path of another site that the server is served under, and further names that it answers to (with commas).
    root_path: str = ""
    hosts: str = ""
    # Seconds that reading the database for one answer may take before it is stopped and answered 503 (0: no end).
    max_read_seconds: int = 20
    # Bytes of pages that are kept to be shown again, until anybody changes something (0: none).
    page_memory: int = 32_000_000
    # Connections open at once; for who comes after, the one that has waited longest for its request is closed.
    max_connections: int = 1000
    # Seconds of work that a build may lose when it is killed (0: whatever is finished is kept at once).
    checkpoint_seconds: int = 30
    # The log: "" for warnings alone, "plain" for a line a request, "json" for JSON.
    log: str = ""
    # Days that a sign-in lasts; live calls of one person in a minute (0: as many as they like).
    sign_in_days: int = 14
    live_rate: int = 120
    # Wrong tokens from one address within five minutes before it must wait (0: no end).
    wrong_tokens: int = 10


def read_settings(**given: object) -> Settings:
    """Settings from the environment, then from what is given (None means not given). Raises Invalid."""
    values: dict[str, Any] = {}
    for setting in fields(Settings):
        text = os.environ.get(PREFIX + setting.name.upper())
        if text is not None:
            values[setting.name] = _parse(setting.name, type(setting.default), text)
    values |= {name: value for name, value in given.items() if value is not None}
    return Settings(**values)


def _parse(name: str, kind: type, text: str) -> object:
    if kind is bool:
        if text.lower() in ("1", "true", "yes", "on"):
            return True
        if text.lower() in ("0", "false", "no", "off"):
            return False
        raise Invalid(f"{PREFIX}{name.upper()} is {text!r}; it takes 1 or 0.")
    if kind is int:
        try:
            return int(text)
        except ValueError:
            raise Invalid(f"{PREFIX}{name.upper()} is {text!r}; it takes a whole number.") from None
    return text


def database_url(db: str) -> str:
    """The SQLAlchemy URL of a path or a URL."""
    if "://" in db:
        return (
            "postgresql+psycopg://" + db.split("://", 1)[1] if db.startswith(("postgres://", "postgresql://")) else db
        )
    return f"sqlite:///{Path(db).expanduser()}"
