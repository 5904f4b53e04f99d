"""What becomes of a team's readers and labellers when something happens to their server. bench/load.py has the load.

python -m bench.faults [--readers 64] [--labellers 4] [--kills 20] [--slow 10000] [--only sqlite] [--fault killed ...]

Prints for each fault what was answered meanwhile, how long the trouble lasted, whether every acknowledged label is
there afterwards, and whether `featurescope check` finds nothing. tests/test_faults.py holds the same on fewer people.
"""

import argparse
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

from sqlalchemy import text

from app.settings import database_url
from app.store.database import Database
from bench.load import add_people, build, databases, faults, kept, people, quantile
from tests.postgres import Postgres
from tests.test_faults import FAKETIME, faked_clock
from tests.traffic import CUT, LABEL, Answered, Server, Traffic, ask

LOCKED_SECONDS = 10
JUMPS = ("+400d", "-3d", "+2h")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_people(parser)
    parser.add_argument("--kills", type=int, default=20, help="kill -9 under load (default: 20)")
    parser.add_argument("--slow", type=int, default=10_000, help="connections that never finish a request")
    parser.add_argument("--fault", nargs="+", choices=[one.__name__ for one in FAULTS], help="(default: each)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind, db, postgres in databases(folder, asked.only):
            print(f"{kind}: {asked.readers} readers, {asked.labellers} labellers")
            for fault in FAULTS:
                if asked.fault and fault.__name__ not in asked.fault:
                    continue
                server = Server(folder, db)
                server.start()
                try:
                    fault(server, asked, postgres)
                finally:
                    server.stop(signal.SIGKILL)


def build_beside(server: Server, asked: argparse.Namespace, _: Postgres | None) -> None:
    with people(server, asked) as traffic:
        build(server.db, server.folder, "beside")
    say(server, "an index built beside it", traffic, f"{traffic.answers[-1].at:.0f} s, {times(traffic.answers)}")


def locked(server: Server, asked: argparse.Namespace, _: Postgres | None) -> None:
    """Another process holds the database against who writes."""
    holder = Database(database_url(server.db))
    with people(server, asked) as traffic:
        time.sleep(2)
        with holder.write() as session:
            session.execute(text("SELECT 1"))
            first, before = len(traffic.answers), len(traffic.acknowledged)
            time.sleep(LOCKED_SECONDS)
            read = [answer for answer in traffic.answers[first:] if answer.route != LABEL]
            during = len(traffic.acknowledged) - before
        freed, labels = time.monotonic(), len(traffic.acknowledged)
        while len(traffic.acknowledged) == labels:
            time.sleep(0.01)
        back = time.monotonic() - freed
        time.sleep(2)
    holder.close()
    what = f"{len(read)} read meanwhile, {times(read)}; {during} labels stored meanwhile, then after {back:.1f} s"
    say(server, f"locked for {LOCKED_SECONDS} s by another process", traffic, what)


def slow_connections(server: Server, asked: argparse.Namespace, _: Postgres | None) -> None:
    """Connections that send half a request and wait, from a process of their own, while the others go on."""
    holder = [sys.executable, "-m", "bench.load_slow", str(server.port), str(asked.slow)]
    with people(server, asked) as traffic, subprocess.Popen(holder, stdout=subprocess.PIPE) as held:
        assert held.stdout is not None
        began, newcomers = time.monotonic(), []
        opened = 0
        while not opened or time.monotonic() - began < 20:
            asked_at = time.monotonic()
            newcomers.append((ask(server.port, "/healthz", timeout=10)[0], time.monotonic() - asked_at))
            if not opened and select.select([held.stdout], [], [], 0.1)[0]:
                opened, lasted = int(held.stdout.readline()), time.monotonic() - began
        resident = memory(server)
        held.kill()
    refused = Counter(status for status, _ in newcomers if status != 200)
    what = (
        f"opened in {lasted:.1f} s; {len(newcomers)} newcomers asked meanwhile, {sum(refused.values())} cut off, the "
        f"slowest answer {max(seconds for _, seconds in newcomers):.1f} s; others {times(traffic.answers)}; "
        f"the server held {resident:.0f} MB"
    )
    say(server, f"{opened:,} connections that send half a request", traffic, what)


def memory(server: Server) -> float:
    """Megabytes that the server's process holds."""
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1000


def clock_jumps(server: Server, asked: argparse.Namespace, _: Postgres | None) -> None:
    if not FAKETIME.exists():
        print("  the clock jumps: libfaketime is not installed (Debian's package faketime)")
        return
    server.stop()
    server.environment = faked_clock(server.folder / "offset")
    server.start()
    with people(server, asked) as traffic:
        for jump in JUMPS:
            time.sleep(3)
            (server.folder / "offset").write_text(jump)
        time.sleep(3)
    # No times: the library that fakes the clock makes every look at it slow.
    say(server, "the clock jumps", traffic, f"by {', '.join(JUMPS)}; {len(traffic.answers)} answers")


def postgresql_restarts(server: Server, asked: argparse.Namespace, postgres: Postgres | None) -> None:
    if postgres is None:
        return
    with people(server, asked) as traffic:
        time.sleep(3)
        began = time.monotonic()
        postgres.stop()
        time.sleep(1)
        postgres.start()
        away = time.monotonic() - began
        time.sleep(10)
    failed = [answer for answer in traffic.answers if answer.status not in (200, 201)]
    labels = [answer.at for answer in traffic.answers if answer.status == 201]
    without = max(after - before for before, after in pairwise(labels))
    lasted = failed[-1].at - failed[0].at if failed else 0.0
    what = f"it was away for {away:.1f} s, errors came for {lasted:.1f} s, no label was stored for {without:.1f} s"
    say(server, "PostgreSQL restarted", traffic, what)


def killed(server: Server, asked: argparse.Namespace, _: Postgres | None) -> None:
    draw = random.Random(0)
    starts = []
    with people(server, asked) as traffic:
        for _kill in range(asked.kills):
            time.sleep(0.5 + draw.random())
            server.stop(signal.SIGKILL)
            starts.append(server.start())
    cut = traffic.statuses()[CUT]
    traffic.answers = [answer for answer in traffic.answers if answer.status != CUT]
    what = f"start-up {quantile(starts, 0.5):.1f} s, at most {max(starts):.1f} s; {cut} requests cut off"
    say(server, f"killed {asked.kills} times (kill -9)", traffic, what)


FAULTS = (build_beside, locked, slow_connections, clock_jumps, postgresql_restarts, killed)


def times(answers: list[Answered]) -> str:
    taken = [1000 * answer.seconds for answer in answers]
    return f"p50 {quantile(taken, 0.5):.0f} ms, p99 {quantile(taken, 0.99):.0f} ms"


def say(server: Server, fault: str, traffic: Traffic, what: str) -> None:
    print(f"  {fault}: {what}; {faults(traffic)}; {kept(server.db, traffic)}", flush=True)


if __name__ == "__main__":
    main()
