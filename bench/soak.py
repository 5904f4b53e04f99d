"""Ten minutes of mixed live load on a real server: its memory, and what it answered.

python -m bench.soak [--minutes 10] [--clients 8] [--db featurescope.db]

Clients draw from activations, steering (some leave in the middle), attribution, finding by examples, pages, and bodies
that are no good, over the bundled demo. The last line is JSON: memory in MB after a first minute and at the end, their
ratio, and answers by status. Only 200, 204, 422 and 503 may occur. Memory is that of the server and of its models'
process without pages of mapped files: each connection maps the database, and its pages would be counted for each.
"""

import argparse
import collections
import http.client
import json
import random
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from bench.live import COMMON, make_demo
from tests.server import COMMAND, environment, free_port

Answer = int
ALLOWED = {200, 204, 422, 503}
N_FEATURES = 1024  # of the demo


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--db", type=Path, help="a database with the dictionary demo (default: one is made)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = asked.db or make_demo(Path(folder))
        print(json.dumps(soak(database, 60 * asked.minutes, asked.clients)))


def soak(database: Path, seconds: float, clients: int) -> dict[str, object]:
    port = free_port()
    server = subprocess.Popen(
        [*COMMAND, "serve", "--db", str(database), "--port", str(port), "--warm"],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        assert "Featurescope is at" in server.stdout.readline()
        answers: collections.Counter[int] = collections.Counter()
        until = time.monotonic() + seconds
        threads = [
            threading.Thread(target=client, args=(f"http://127.0.0.1:{port}", n, until, answers))
            for n in range(clients)
        ]
        for thread in threads:
            thread.start()
        settled = min(60.0, seconds / 4)
        memory: list[float] = []
        while time.monotonic() < until:
            time.sleep(min(5.0, settled))
            memory.append(taken_mb(server.pid))
            print(f"{seconds - (until - time.monotonic()):6.0f} s  {memory[-1]:8.1f} MB  {dict(answers)}", flush=True)
        for thread in threads:
            thread.join()
    finally:
        server.terminate()
        server.wait(20)
    after = memory[max(1, int(len(memory) * settled / seconds)) :]
    early, late = sum(after[:6]) / len(after[:6]), sum(after[-6:]) / len(after[-6:])
    assert set(answers) <= ALLOWED, answers
    return {"start_mb": early, "end_mb": late, "ratio": late / early, "answers": dict(answers)}


def client(address: str, seed: int, until: float, answers: "collections.Counter[int]") -> None:
    draw = random.Random(seed)
    kinds: list[Callable[[str, random.Random], int]] = [activations] * 6 + [page] * 3
    kinds += [steering, leaving, attribution, finding, nonsense]
    while time.monotonic() < until:
        status = draw.choice(kinds)(address, draw)
        answers[status] += 1
        if status == 503:
            time.sleep(1)


def activations(address: str, draw: random.Random) -> Answer:
    return post(address, "activations", {"texts": [text(draw) for _ in range(draw.randint(1, 4))]})


def steering(address: str, draw: random.Random) -> Answer:
    one = {"index": draw.randrange(N_FEATURES), "strength": draw.uniform(0, 3), "mode": draw.choice(["add", "clamp"])}
    body = {"prompt": text(draw), "features": [one], "max_new_tokens": 20, "controls": draw.random() < 0.3}
    return post(address, "steer", body)


def leaving(address: str, draw: random.Random) -> Answer:
    """Reads one event and goes away."""
    one = {"index": draw.randrange(N_FEATURES), "strength": 1.0}
    connection, answer = begin(address, "steer", {"prompt": text(draw), "features": [one], "max_new_tokens": 100})
    answer.readline()
    answer.close()
    connection.close()
    return answer.status


def attribution(address: str, draw: random.Random) -> Answer:
    return post(address, "attribute", {"text": text(draw), "n": draw.randint(1, 20)})


def finding(address: str, draw: random.Random) -> Answer:
    return post(address, "find", {"with": [text(draw) for _ in range(4)], "without": [text(draw) for _ in range(4)]})


def nonsense(address: str, draw: random.Random) -> Answer:
    bodies: list[object] = [{"texts": []}, {"texts": [""]}, [], {"texts": ["a"], "features": [10**6]}, "text", None]
    return post(address, "activations", draw.choice(bodies))


def page(address: str, draw: random.Random) -> Answer:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=150)
    connection.request("GET", f"/dictionaries/demo/features/{draw.randrange(N_FEATURES)}")
    answer = connection.getresponse()
    answer.read()
    return answer.status


def post(address: str, call: str, body: object) -> Answer:
    _, answer = begin(address, call, body)
    content = answer.read()
    assert b"event: error" not in content, content[-500:]
    return answer.status


def begin(address: str, call: str, body: object) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=150)
    headers = {"content-type": "application/json"}
    connection.request("POST", f"/api/v1/dictionaries/demo/{call}", json.dumps(body), headers)
    return connection, connection.getresponse()


def text(draw: random.Random) -> str:
    return " ".join(draw.choices(COMMON, k=draw.randint(4, 60)))


def taken_mb(pid: int) -> float:
    """Of the server and of the process that runs its models."""
    children = [one for file in Path(f"/proc/{pid}/task").glob("*/children") for one in file.read_text().split()]
    return sum(_taken_kb(one) for one in (str(pid), *children)) / 1024


def _taken_kb(pid: str) -> int:
    fields = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in fields if line.startswith("RssAnon")).split()[1])


if __name__ == "__main__":
    main()
