"""A team on one server: readers and labellers, on SQLite and on PostgreSQL. bench/faults.py has what may befall it.

python -m bench.load [--seconds 300] [--readers 64] [--labellers 4] [--only sqlite]

Every reader asks again as soon as it is answered, which is far more than people do: the middle time of an answer is
what the machine makes of that many at once, and answers a second say what it can carry. Prints milliseconds by route,
whether every acknowledged label is there afterwards, and whether `featurescope check` finds nothing.
"""

import argparse
import signal
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import select

from app.settings import database_url
from app.store.check import check_database
from app.store.database import Database
from app.store.dictionaries import get_dictionary
from app.store.tables import LabelRow
from tests.postgres import Postgres, find_programs
from tests.server import COMMAND, environment
from tests.traffic import Server, Traffic

DICTIONARY = "seed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_people(parser)
    parser.add_argument("--seconds", type=float, default=300, help="of reading and labelling (default: 300)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        for kind, db, _ in databases(Path(name), asked.only):
            server = Server(Path(name), db)
            seconds = server.start()
            print(f"{kind}: {asked.readers} readers, {asked.labellers} labellers; it answered after {seconds:.1f} s")
            try:
                steady(server, asked)
            finally:
                server.stop(signal.SIGKILL)


def add_people(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--readers", type=int, default=64)
    parser.add_argument("--labellers", type=int, default=4)
    parser.add_argument("--only", choices=("sqlite", "postgresql"))


def databases(folder: Path, only: str | None) -> Iterator[tuple[str, str, Postgres | None]]:
    """Each kind of database that there is here, with its URL, the dictionary in it, and its PostgreSQL."""
    if only != "postgresql":
        db = str(folder / "load.db")
        build(db, folder, DICTIONARY)
        yield "SQLite", db, None
    programs = find_programs()
    if only != "sqlite" and programs is not None:
        postgres = Postgres(programs, settings={})  # as it comes: every commit is on the disk
        postgres.start()
        try:
            db = postgres.new_database()
            build(db, folder, DICTIONARY)
            yield "PostgreSQL", db, postgres
        finally:
            postgres.remove()


def build(db: str, folder: Path, id: str) -> None:
    command = [*COMMAND, "index", id, "--model", "demo", "--sae", "demo", "--corpus", "seed", "--db", db]
    command += ["--quality-tokens", "0"]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def steady(server: Server, asked: argparse.Namespace) -> None:
    with people(server, asked) as traffic:
        time.sleep(asked.seconds)
    print(f"  {asked.seconds:.0f} s of it: {len(traffic.answers) / asked.seconds:.0f} answers/s, {faults(traffic)}")
    by_route: dict[str, list[float]] = defaultdict(list)
    for answer in traffic.answers:
        by_route[answer.route].append(1000 * answer.seconds)
    for route, times in sorted(by_route.items()):
        print(f"    {route:18} {len(times):7} p50 {quantile(times, 0.5):6.0f} ms   p99 {quantile(times, 0.99):6.0f} ms")
    print(f"  {kept(server.db, traffic)}")


@contextmanager
def people(server: Server, asked: argparse.Namespace) -> Iterator[Traffic]:
    """Readers and labellers, for as long as the block takes."""
    database = Database(database_url(server.db))
    with database.read() as session:
        n_features = get_dictionary(session, DICTIONARY).n_features
    database.close()
    traffic = Traffic(server.port, DICTIONARY, n_features, asked.readers, asked.labellers).start()
    try:
        yield traffic
    finally:
        traffic.stop()


def faults(traffic: Traffic) -> str:
    failed = {status: n for status, n in traffic.statuses().items() if status not in (200, 201)}
    if not failed:
        return "no error"
    return f"ERRORS {failed} " + ", ".join(f"{n} of {what[:160]!r}" for what, n in traffic.problems.most_common(2))


def kept(db: str, traffic: Traffic) -> str:
    """Whether what was acknowledged is stored, in words."""
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


def quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


if __name__ == "__main__":
    main()
