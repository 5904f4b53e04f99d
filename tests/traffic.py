"""A server as its own process, and people who read and label all at once: for what happens under load and faults."""

import asyncio
import json
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.server import COMMAND, PATIENCE, environment, free_port

LABEL = "label"
CUT = 0  # the status of a request whose connection broke
PAUSE = 0.05  # seconds between one person's labels
RETRY = 0.05  # seconds until who was cut off tries again


@dataclass
class Server:
    """`featurescope serve` on a database, at one port for as long as this lives. Its output goes to a file."""

    folder: Path
    db: str
    arguments: Sequence[str] = ("--no-model",)
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Returns how many seconds passed until it answered."""
        began = time.monotonic()
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "serve", "--db", self.db, "--port", str(self.port), *self.arguments],
                cwd=self.folder,
                env=environment() | dict(self.environment),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        while True:
            if ask(self.port, "/healthz")[0] == 200:
                return time.monotonic() - began
            assert self.process.poll() is None, (self.folder / "server.log").read_text()[-3000:]
            assert time.monotonic() < began + PATIENCE, "the server does not answer"
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None


def ask(port: int, path: str, body: object = None, timeout: float = 30) -> tuple[int, bytes]:
    """One request on a connection of its own: the status (CUT where there is no answer) and the body."""

    async def once() -> tuple[int, bytes]:
        connection = Connection(port)
        try:
            return await asyncio.wait_for(connection.ask(path, body), timeout)
        except (OSError, EOFError, TimeoutError):
            return CUT, b""
        finally:
            connection.close()

    # In a thread of its own: a browser that is driven in the same run has a loop in this one.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, once()).result()


class Connection:
    """HTTP/1.1 over one connection that stays open, as a browser keeps it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, path: str, body: object = None) -> tuple[int, bytes]:
        """Raises OSError or EOFError where the connection breaks."""
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.streams
        content = b"" if body is None else json.dumps(body).encode()
        head = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}"]
        if body is not None:
            head += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
        writer.write("\r\n".join([*head, "", ""]).encode() + content)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if headers.get("transfer-encoding") == "chunked":
            parts = []
            while size := int((await reader.readline()).strip(), 16):
                parts.append(await reader.readexactly(size))
                await reader.readline()
            await reader.readline()
            answer = b"".join(parts)
        else:
            answer = await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection") == "close":
            self.close()
        return int(lines[0].split()[1]), answer

    def close(self) -> None:
        if self.streams is not None:
            self.streams[1].close()
            self.streams = None


@dataclass(frozen=True)
class Answered:
    """One request. at: seconds since the traffic began, when it was answered."""

    route: str
    status: int
    seconds: float
    at: float


class Traffic:
    """Readers and labellers, each asking again as soon as they are answered, until `stop`.

    answers: every request. acknowledged: the labels that the server said are stored, by id. problems: bodies of
    answers that are no success.
    """

    def __init__(self, port: int, dictionary: str, n_features: int, readers: int, labellers: int) -> None:
        self.port, self.dictionary, self.n_features = port, dictionary, n_features
        self.readers, self.labellers = readers, labellers
        self.answers: list[Answered] = []
        self.acknowledged: dict[int, str] = {}
        self.problems: Counter[str] = Counter()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()))

    def start(self) -> "Traffic":
        self._began = time.monotonic()
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def statuses(self) -> Counter[int]:
        return Counter(answer.status for answer in self.answers)

    async def _all(self) -> None:
        labellers = [self._labeller(n) for n in range(self.labellers)]
        await asyncio.gather(*(self._reader(n) for n in range(self.readers)), *labellers)

    async def _reader(self, number: int) -> None:
        draw = random.Random(number)
        base = f"/dictionaries/{self.dictionary}"
        connection = Connection(self.port)
        while not self._stopping.is_set():
            feature = draw.randrange(self.n_features)
            route, path = draw.choice(
                (
                    ("home", "/"),
                    ("dictionary", base),
                    ("dictionary", f"{base}?sort=-density"),
                    ("feature", f"{base}/features/{feature}"),
                    ("feature", f"{base}/features/{feature}"),
                    ("feature as JSON", f"/api/v1{base}/features/{feature}"),
                    ("examples as JSON", f"/api/v1{base}/features/{feature}/examples"),
                    ("search", f"/search?q={draw.choice(('the', 'match', 'rain', 'soup'))}"),
                )
            )
            await self._ask(connection, route, path)
        connection.close()

    async def _labeller(self, number: int) -> None:
        draw = random.Random(-1 - number)
        connection = Connection(self.port)
        given = 0
        while not self._stopping.is_set():
            given += 1
            text = f"label {given} of person {number}"
            path = f"/api/v1/dictionaries/{self.dictionary}/features/{draw.randrange(self.n_features)}/labels"
            status, body = await self._ask(connection, LABEL, path, {"text": text, "author": f"person {number}"})
            if status == 201:
                self.acknowledged[json.loads(body)["id"]] = text
            await asyncio.sleep(PAUSE)
        connection.close()

    async def _ask(self, connection: Connection, route: str, path: str, body: object = None) -> tuple[int, bytes]:
        began = time.monotonic()
        try:
            status, answer = await connection.ask(path, body)
        except (OSError, EOFError):
            connection.close()
            status, answer = CUT, b""
        now = time.monotonic()
        self.answers.append(Answered(route, status, now - began, now - self._began))
        if status == CUT:
            await asyncio.sleep(RETRY)
        elif status >= 400:
            self.problems[f"{status} {route}: {answer[:300].decode(errors='replace')}"] += 1
        return status, answer
