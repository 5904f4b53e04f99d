"""Readers and labellers on a server that something happens to: nothing acknowledged is lost, and it goes on by itself.

bench/load.py runs the same with more people, for longer, and prints figures.
"""

import random
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import select, text

from app.settings import database_url as url_of
from app.store.check import check_database
from app.store.database import Database
from app.store.tables import LabelRow
from tests.forked import ready, run_forked
from tests.postgres import Postgres
from tests.tiny import N_FEATURES, Tiny
from tests.traffic import CUT, LABEL, Answered, Server, Traffic, ask

pytestmark = pytest.mark.slow

READERS, LABELLERS = 8, 3
on_sqlite = pytest.mark.parametrize("labelled", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("labelled", ["postgresql"], indirect=True)
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


@pytest.fixture
def server(own_database: str, tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path, own_database)
    made.start()
    yield made
    made.stop(signal.SIGKILL)


@contextmanager
def traffic_on(server: Server, readers: int = READERS) -> Iterator[Traffic]:
    traffic = Traffic(server.port, "tiny", N_FEATURES, readers, LABELLERS).start()
    try:
        yield traffic
    finally:
        traffic.stop()


def stored_labels(url: str) -> dict[int, str]:
    database = Database(url_of(url))
    try:
        with database.read() as session:
            return {row.id: row.text for row in session.execute(select(LabelRow.id, LabelRow.text))}
    finally:
        database.close()


def check_nothing_is_lost(url: str, traffic: Traffic) -> None:
    assert traffic.acknowledged, "somebody labelled something"
    stored = stored_labels(url)
    assert {id: stored.get(id) for id in traffic.acknowledged} == traffic.acknowledged
    database = Database(url_of(url))
    try:
        assert list(check_database(database, False, lambda done, total: None)) == []
    finally:
        database.close()


def wait_for(condition: object, seconds: float = 90) -> None:
    assert callable(condition)
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_many_read_and_label_without_an_error(server: Server) -> None:
    with traffic_on(server, readers=24) as traffic:
        wait_for(lambda: len(traffic.answers) > 500 and len(traffic.acknowledged) > 30)
    assert set(traffic.statuses()) == {200, 201}, traffic.problems
    check_nothing_is_lost(server.db, traffic)


def test_a_server_killed_again_and_again_loses_nothing(server: Server) -> None:
    draw = random.Random(0)
    with traffic_on(server) as traffic:
        for _ in range(3):
            labels = len(traffic.acknowledged)
            wait_for(lambda labels=labels: len(traffic.acknowledged) > labels + 3)
            time.sleep(draw.random() / 2)
            server.stop(signal.SIGKILL)
            server.start()
    assert set(traffic.statuses()) == {200, 201, CUT}, traffic.problems
    check_nothing_is_lost(server.db, traffic)


def test_two_servers_share_one_database(server: Server, tmp_path: Path) -> None:
    other = Server(tmp_path, server.db)
    other.start()
    try:
        with traffic_on(server) as one, traffic_on(other) as two:
            for traffic in (one, two):
                wait_for(lambda traffic=traffic: len(traffic.answers) > 150 and len(traffic.acknowledged) > 10)
        assert set(one.statuses()) | set(two.statuses()) == {200, 201}, (one.problems, two.problems)
        check_nothing_is_lost(server.db, one)
        check_nothing_is_lost(server.db, two)
    finally:
        other.stop()


def test_who_labels_waits_for_another_process_and_readers_do_not(server: Server) -> None:
    holder = Database(url_of(server.db))
    with traffic_on(server) as traffic:
        wait_for(lambda: traffic.acknowledged)
        with holder.write() as session:
            session.execute(text("SELECT 1"))
            before, began = len(traffic.answers), len(traffic.acknowledged)
            time.sleep(0.5)
            wait_for(lambda: n_read(traffic.answers[before:]) > 20, seconds=8)  # those who label wait no longer than 10
            waited = len(traffic.acknowledged)
        labels = len(traffic.acknowledged)
        wait_for(lambda: len(traffic.acknowledged) > labels + 3)
    holder.close()
    assert waited <= began + LABELLERS, "those that were under way when the lock came"
    assert set(traffic.statuses()) == {200, 201}, traffic.problems
    check_nothing_is_lost(server.db, traffic)


def n_read(answers: Sequence[Answered]) -> int:
    return sum(answer.status == 200 for answer in answers)


def test_an_index_is_built_beside_readers_and_labellers(server: Server, tiny: Tiny, tmp_path: Path) -> None:
    ready()
    with traffic_on(server) as traffic:
        paths = ["--model", str(tiny.model), "--sae", str(tiny.sae), "--corpus", str(tiny.corpus)]
        status, said = run_forked(
            ["index", "second", "--db", server.db, *paths, "--context", "32", "--force"], tmp_path
        )
        assert status == 0, said
        assert ask(server.port, "/api/v1/dictionaries/second")[0] == 200
    assert set(traffic.statuses()) == {200, 201}, traffic.problems
    check_nothing_is_lost(server.db, traffic)


@on_postgresql
def test_postgresql_may_restart_under_load(postgres: Postgres, labelled: str, tmp_path: Path) -> None:
    server = Server(tmp_path, postgres.copy_of(labelled))
    server.start()
    try:
        with traffic_on(server) as traffic:
            wait_for(lambda: len(traffic.acknowledged) > 5)
            postgres.stop()
            time.sleep(0.5)
            postgres.start()
            labels, back = len(traffic.acknowledged), time.monotonic()
            wait_for(lambda: len(traffic.acknowledged) > labels + 5)
            seconds = time.monotonic() - back
            after = len(traffic.answers)
            time.sleep(1)
        assert seconds < 10
        assert {answer.status for answer in traffic.answers[after:]} == {200, 201}, "by itself, and for good"
        assert set(traffic.statuses()) <= {200, 201, 503}, traffic.problems
        check_nothing_is_lost(server.db, traffic)
    finally:
        server.stop()


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 24 MB of one's own, which other users reach too."""
    folder = Path(tempfile.mkdtemp(prefix="featurescope-disk-"))
    folder.chmod(0o755)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(folder)], check=False)
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
    folder.rmdir()


@pytest.fixture
def on_small_disk(request: pytest.FixtureRequest, labelled: str, small_disk: Path) -> Iterator[str]:
    """The URL of a copy of `labelled` whose tables lie on the small disk."""
    if labelled.startswith("sqlite"):
        shutil.copy(labelled.removeprefix("sqlite:///"), small_disk / "own.db")
        yield f"sqlite:///{small_disk / 'own.db'}"
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        with postgres.copy_on(small_disk, labelled) as url:
            yield url


def test_a_full_disk_is_507_and_readers_go_on(on_small_disk: str, small_disk: Path, tmp_path: Path) -> None:
    server = Server(tmp_path, on_small_disk)
    server.start()
    ballast = small_disk / "ballast"
    try:
        with traffic_on(server) as traffic:
            wait_for(lambda: len(traffic.acknowledged) > 3)
            fill(ballast)
            wait_for(lambda: traffic.statuses()[507] > 3)
            before = len(traffic.answers)
            time.sleep(1)
            during = traffic.answers[before:]
            assert {answer.status for answer in during if answer.route != LABEL} == {200}
            ballast.unlink()
            labels = len(traffic.acknowledged)
            wait_for(lambda: len(traffic.acknowledged) > labels + 3)
        assert set(traffic.statuses()) == {200, 201, 507}, traffic.problems
        assert all("disk" in what and "full" in what for what in traffic.problems)
        check_nothing_is_lost(on_small_disk, traffic)
    finally:
        server.stop()


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as filling, suppress(OSError):
        while True:
            filling.write(b"\0" * 4096)


def faked_clock(offset: Path) -> dict[str, str]:
    """Variables with which a process's clock is off by what the file says."""
    offset.write_text("+0")
    faked = {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(offset), "FAKETIME_NO_CACHE": "1"}
    return faked | {"FAKETIME_DONT_FAKE_MONOTONIC": "1"}  # which no jump of the clock touches


@pytest.mark.skipif(not FAKETIME.exists(), reason="libfaketime is not installed (Debian's package faketime)")
def test_a_clock_that_jumps_changes_nothing_but_times(own_database: str, tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    server = Server(tmp_path, own_database, environment=faked_clock(offset))
    server.start()
    try:
        with traffic_on(server, readers=2) as traffic:
            for jump in ("+400d", "-3d", "+2h"):
                offset.write_text(jump)
                labels = len(traffic.acknowledged)
                wait_for(lambda labels=labels: len(traffic.acknowledged) > labels + 5)
        assert set(traffic.statuses()) == {200, 201}, traffic.problems
        check_nothing_is_lost(own_database, traffic)
    finally:
        server.stop()


@on_sqlite  # PostgreSQL's lock is tested in test_database.py, where it takes a second
def test_a_database_that_another_program_holds_for_long_is_busy(own_database: str, tmp_path: Path) -> None:
    """Longer than the ten seconds that a writer waits: 503 with when to come back, and then it works."""
    server = Server(tmp_path, own_database)
    server.start()
    path = "/api/v1/dictionaries/tiny/features/3/labels"
    try:
        with closing(sqlite3.connect(own_database.removeprefix("sqlite:///"), isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            status, body = ask(server.port, path, {"text": "meanwhile", "author": "Ada"})
            assert status == 503, body
            assert b"locked by another process" in body
            assert ask(server.port, "/dictionaries/tiny")[0] == 200
        assert ask(server.port, path, {"text": "afterwards", "author": "Ada"})[0] == 201
    finally:
        server.stop()


def test_reading_that_takes_too_long_is_stopped_and_others_go_on(own_database: str, tmp_path: Path) -> None:
    """Each feature has to be counted for without end before it is read."""
    database = Database(url_of(own_database))
    endless = "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n) > 0"
    with database.write() as session:
        session.execute(text("ALTER TABLE features RENAME TO features_there"))
        session.execute(text(f"CREATE VIEW features AS SELECT * FROM features_there WHERE {endless}"))
    server = Server(tmp_path, own_database, environment={"FEATURESCOPE_MAX_READ_SECONDS": "1"})
    server.start()
    try:
        for path in ("/dictionaries/tiny/features/3", "/api/v1/dictionaries/tiny/features/3"):
            began = time.monotonic()
            status, body = ask(server.port, path)
            assert status == 503, body
            assert b"took too long to answer and was stopped" in body
            assert time.monotonic() - began < 8
            assert ask(server.port, "/api/v1/dictionaries")[0] == 200
        with database.write() as session:
            session.execute(text("DROP VIEW features"))
            session.execute(text("ALTER TABLE features_there RENAME TO features"))
        assert ask(server.port, "/dictionaries/tiny/features/3")[0] == 200
    finally:
        server.stop()
        database.close()
