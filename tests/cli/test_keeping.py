"""The commands that keep a database, run as programs."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.postgres import Postgres
from tests.server import run

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("labelled", ["sqlite"], indirect=True)]


@pytest.fixture
def folder(labelled: str, tmp_path: Path) -> Path:
    """A folder with a database that has the dictionary `tiny` and two labels."""
    shutil.copy(labelled.removeprefix("sqlite:///"), tmp_path / "featurescope.db")
    return tmp_path


def test_a_backup_restored_beside_is_sound(folder: Path) -> None:
    made = run(["backup", "kept.backup"], folder)
    assert (made.returncode, "featurescope.db is backed up in kept.backup" in made.stdout) == (0, True), made.stderr
    assert "never replaces" in run(["backup", "kept.backup"], folder).stderr
    done = run(["restore", "kept.backup", "--db", "beside.db"], folder)
    assert done.returncode == 0, done.stderr
    assert run(["check", "--db", "beside.db"], folder).stdout == "beside.db is sound.\n"
    assert "--replace" in run(["restore", "kept.backup", "--db", "beside.db"], folder).stderr


def test_check_ends_with_an_error_where_something_is_wrong(folder: Path) -> None:
    with sqlite3.connect(folder / "featurescope.db") as connection:
        connection.execute("UPDATE features SET n_active_tokens = 1")
    done = run(["check"], folder)
    assert done.returncode == 1
    assert "FAULT: tiny: the counts of feature 0 do not add up; index it again with --replace" in done.stdout
    assert "faults; see above" in done.stderr
    assert "Traceback" not in done.stderr


def test_vacuum_says_what_it_gave_back(folder: Path) -> None:
    run(["remove", "tiny", "--yes"], folder)
    done = run(["vacuum"], folder)
    assert done.returncode == 0, done.stderr
    before, after = (float(part.split(" MB")[0].split()[-1]) for part in done.stdout.split(","))
    assert after < before


def test_a_copy_prints_counts_and_checksums(folder: Path, postgres: Postgres) -> None:
    done = run(["copy", "--from", "featurescope.db", "--to", postgres.new_database()], folder)
    assert done.returncode == 0, done.stderr
    assert "features\t24 rows" in done.stdout
    assert "counts and checksums agree" in done.stdout
    assert postgres.password not in done.stdout + done.stderr
    same = run(["copy", "--from", "featurescope.db", "--to", "featurescope.db"], folder)
    assert "the same database" in same.stderr
