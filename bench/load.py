"""A team on one server: readers and labellers, on SQLite and on PostgreSQL, and what happens when it is killed.

python -m bench.load [--seconds 300] [--readers 64] [--labellers 4] [--kills 20] [--slow 10000] [--only sqlite]

Every reader asks again as soon as it is answered, which is far more than people do: the middle time of an answer is
what the machine makes of that many at once, and answers a second say what it can carry. Prints milliseconds by route,
whether every acknowledged label is there afterwards, and whether `featurescope check` finds nothing.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy import select

from app.settings import database_url
from app.store.check import check_database
from app.store.database import Database
from app.store.dictionaries import get_dictionary
from app.store.tables import LabelRow
from tests.postgres import Postgres, find_programs
from tests.server import COMMAND, environment
from tests.traffic import CUT, Server, Traffic, ask

DICTIONARY = "seed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300, help="of reading and labelling (default: 300)")
    parser.add_argument("--readers", type=int, default=64)
    parser.add_argument("--labellers", type=int, default=4)
    parser.add_argument("--kills", type=int, default=20, help="kill -9 under that load (default: 20)")
    parser.add_argument("--slow", type=int, default=10_000, help="connections that never finish a request")
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if asked.only != "postgresql":
            measure("SQLite", str(folder / "load.db"), folder, asked)
        programs = find_programs()
        if asked.only != "sqlite" and programs is not None:
            postgres = Postgres(programs, settings={})  # as it comes: every commit is on the disk
            postgres.start()
            try:
                measure("PostgreSQL", postgres.new_database(), folder, asked)
            finally:
                postgres.remove()


def measure(kind: str, db: str, folder: Path, asked: argparse.Namespace) -> None:
    build(db, folder, DICTIONARY)
    server = Server(folder, db)
    seconds = server.start()
    print(f"{kind}: {asked.readers} readers, {asked.labellers} labellers; it answered {seconds:.1f} s after its start")
    try:
        steady(server, asked)
        beside_a_build(server, folder, asked)
        if asked.slow:
            slow_connections(server, asked)
        if asked.kills:
            killed(server, asked)
    finally:
        server.stop(signal.SIGKILL)


def steady(server: Server, asked: argparse.Namespace) -> None:
    traffic = run(server, asked, lambda: time.sleep(asked.seconds))
    print(f"  {asked.seconds:.0f} s of it: {len(traffic.answers) / asked.seconds:.0f} answers/s, {faults(traffic)}")
    by_route: dict[str, list[float]] = defaultdict(list)
    for answer in traffic.answers:
        by_route[answer.route].append(1000 * answer.seconds)
    for route, times in sorted(by_route.items()):
        print(f"    {route:18} {len(times):7} p50 {quantile(times, 0.5):6.0f} ms   p99 {quantile(times, 0.99):6.0f} ms")
    print(f"  {kept(server.db, traffic)}")


def beside_a_build(server: Server, folder: Path, asked: argparse.Namespace) -> None:
    began = time.monotonic()
    traffic = run(server, asked, lambda: build(server.db, folder, "beside"))
    times = [1000 * answer.seconds for answer in traffic.answers]
    print(
        f"  a build beside it, {time.monotonic() - began:.0f} s: {faults(traffic)}, "
        f"p50 {quantile(times, 0.5):.0f} ms, p99 {quantile(times, 0.99):.0f} ms; {kept(server.db, traffic)}"
    )


def slow_connections(server: Server, asked: argparse.Namespace) -> None:
    """Connections that send half a request and wait, from a process of their own, while the others go on."""
    holder = subprocess.Popen([sys.executable, "-m", "bench.load_slow", str(server.port), str(asked.slow)], stdout=-1)
    assert holder.stdout is not None
    opened = int(holder.stdout.readline())
    began = time.monotonic()
    first = None
    while first is None or time.monotonic() - began < 15:
        status, _ = ask(server.port, "/healthz", timeout=5)
        if status == 200 and first is None:
            first = time.monotonic() - began
        assert time.monotonic() - began < 60, "the server did not come back"
        time.sleep(0.2)
    memory = Path(f"/proc/{server.process.pid}/status").read_text() if server.process else ""
    resident = next((int(line.split()[1]) for line in memory.splitlines() if line.startswith("VmRSS")), 0)
    holder.kill()
    holder.wait()
    traffic = run(server, asked, lambda: time.sleep(3))
    print(
        f"  {opened:,} connections that send half a request: another one was answered {first:.1f} s after they had "
        f"opened; the server held {resident / 1000:.0f} MB; afterwards {faults(traffic)}"
    )


def killed(server: Server, asked: argparse.Namespace) -> None:
    draw = random.Random(0)
    starts: list[float] = []

    def kill() -> None:
        for _ in range(asked.kills):
            time.sleep(0.5 + draw.random())
            server.stop(signal.SIGKILL)
            starts.append(server.start())

    traffic = run(server, asked, kill)
    statuses = traffic.statuses()
    other = {status: n for status, n in statuses.items() if status not in (200, 201, CUT)}
    print(
        f"  killed {asked.kills} times (kill -9): start-up {quantile(starts, 0.5):.1f} s, at most {max(starts):.1f} s; "
        f"{statuses[CUT]} requests cut off, {other or 'no other error'}; {kept(server.db, traffic)}"
    )


def run(server: Server, asked: argparse.Namespace, meanwhile: Callable[[], object]) -> Traffic:
    database = Database(database_url(server.db))
    with database.read() as session:
        n_features = get_dictionary(session, DICTIONARY).n_features
    database.close()
    traffic = Traffic(server.port, DICTIONARY, n_features, asked.readers, asked.labellers).start()
    try:
        meanwhile()
    finally:
        traffic.stop()
    return traffic


def faults(traffic: Traffic) -> str:
    failed = {status: n for status, n in traffic.statuses().items() if status not in (200, 201)}
    return "no error" if not failed else f"ERRORS {failed} {traffic.problems.most_common(3)}"


def kept(db: str, traffic: Traffic) -> str:
    database = Database(database_url(db))
    try:
        with database.read() as session:
            stored = {row.id: row.text for row in session.execute(select(LabelRow.id, LabelRow.text))}
        found = [f for f in check_database(database, False, lambda _done, _total: None) if f.is_fault]
    finally:
        database.close()
    lost = sum(stored.get(id) != text for id, text in traffic.acknowledged.items())
    sound = "check finds nothing" if not found else f"check finds {found[:3]}"
    return f"{len(traffic.acknowledged)} labels acknowledged, {lost} lost; {sound}"


def build(db: str, folder: Path, id: str) -> None:
    command = [*COMMAND, "index", id, "--model", "demo", "--sae", "demo", "--corpus", "seed", "--db", db]
    command += ["--quality-tokens", "0"]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


if __name__ == "__main__":
    main()
