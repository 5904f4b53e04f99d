"""A real PostgreSQL of the tests' own, run by an ordinary user on a free port from a folder that goes in the end."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from tests.server import free_port

USER = "featurescope"
PATIENCE = 60  # seconds until it must answer
ENOUGH = 2 * 2**30  # bytes
# Debian keeps the servers' programs out of PATH.
DEBIAN = Path("/usr/lib/postgresql")
# What a test writes need not outlive the machine.
FAST: Mapping[str, str] = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def find_programs() -> Path | None:
    """The folder of `initdb` and `postgres`, the newest version's; None where there is none."""
    versions = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda file: float(file.parent.parent.name))
    found = shutil.which("initdb") or (str(versions[-1]) if versions else None)
    return Path(found).resolve().parent if found else None


@dataclass
class Postgres:
    """One cluster. settings: of postgresql.conf."""

    programs: Path
    settings: Mapping[str, str] = field(default_factory=lambda: FAST)
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        # Not pytest's own folder: that one is closed to the ordinary user that root has to become.
        self.folder = Path(tempfile.mkdtemp(prefix="featurescope-postgres-", dir=_room(self.settings)))
        self.password = secrets.token_hex(8)
        self.process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        password_file = self.folder / "password"
        password_file.write_text(self.password)
        if (user := _ordinary_user()) is not None:
            for path in (self.folder, password_file):
                os.chown(path, user.pw_uid, user.pw_gid)
        self._run(
            *("initdb", "--pgdata", str(self.data), "--username", USER, "--pwfile", str(password_file)),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"),
        )

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def start(self) -> None:
        """Returns once it takes connections."""
        options = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
            **self.settings,
        }
        given = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.programs / "postgres"), "-D", str(self.data), *given],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                **_as_ordinary_user(),
            )
        until = time.monotonic() + PATIENCE
        while True:
            try:
                psycopg.connect(self._conninfo("postgres"), connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < until, "PostgreSQL does not answer"
                time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: connections are cut, what was committed is kept."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(PATIENCE)
            self.process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_database(self) -> str:
        """The URL of an empty database."""
        return self._create("TEMPLATE template0")

    @contextmanager
    def lent(self, url: str) -> Iterator[str]:
        """The database, dropped in the end."""
        yield url
        self.drop(url)

    def drop(self, url: str) -> None:
        """The database and its hundreds of files; who is connected to it is cut off."""
        with psycopg.connect(self._conninfo("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {url.rsplit('/', 1)[1]} WITH (FORCE)")

    def copy_of(self, url: str) -> str:
        """The URL of a copy of a database that nobody is connected to."""
        return self._create(f"TEMPLATE {url.rsplit('/', 1)[1]}")

    @contextmanager
    def copy_on(self, folder: Path, url: str) -> Iterator[str]:
        """The same with its files in a folder of their own, such as a small disk; what is written first lies apart."""
        if (user := _ordinary_user()) is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        with psycopg.connect(self._conninfo("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE TABLESPACE apart LOCATION '{folder}'")
            copy = self._create(f"TEMPLATE {url.rsplit('/', 1)[1]} TABLESPACE apart")
            try:
                yield copy
            finally:
                self.drop(copy)
                connection.execute("DROP TABLESPACE apart")

    def connect(self, url: str) -> psycopg.Connection:
        """The database as psycopg sees it, each statement its own transaction."""
        return psycopg.connect(self._conninfo(url.rsplit("/", 1)[1]), autocommit=True)

    def _create(self, how: str) -> str:
        self._databases += 1
        name = f"test_{self._databases}"
        with psycopg.connect(self._conninfo("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} {how}")
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{name}"

    def _conninfo(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user={USER} password={self.password} dbname={database}"

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self.programs / program), *arguments],
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
            **_as_ordinary_user(),
        )
        assert done.returncode == 0, done.stderr


def _room(settings: Mapping[str, str]) -> Path | None:
    """Memory, where there is enough and nothing need outlive it: making a database and dropping it is then quick."""
    memory = Path("/dev/shm")
    if settings is not FAST or not memory.is_dir():
        return None
    known = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    available = 1024 * int(known["MemAvailable"].split()[0])
    return memory if min(available, shutil.disk_usage(memory).free) > ENOUGH else None


def _ordinary_user() -> pwd.struct_passwd | None:
    """PostgreSQL does not run as root: who it runs as instead; None where the tests are not root themselves."""
    if os.geteuid() != 0:
        return None
    known = {user.pw_name: user for user in pwd.getpwall()}
    return known.get("postgres") or known["nobody"]


def _as_ordinary_user() -> dict[str, object]:
    user = _ordinary_user()
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    return {"env": environment} if user is None else {"env": environment, "user": user.pw_uid, "group": user.pw_gid}
