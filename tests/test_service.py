"""The systemd unit, held against systemd's own checks."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from app.__main__ import parser

UNIT = Path(__file__).resolve().parent.parent / "deploy" / "featurescope.service"
ANALYZE = shutil.which("systemd-analyze")
EXPOSURE = 20  # tenths, of at most 100; systemd calls below 20 well protected


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that is there."""
    copy = tmp_path / UNIT.name
    copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.MULTILINE))
    return copy


@pytest.mark.slow
@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed: install Debian's package systemd")
def test_systemd_finds_no_fault_and_little_exposure(unit: Path) -> None:
    for check in (["verify", str(unit)], ["security", "--offline=yes", f"--threshold={EXPOSURE}", str(unit)]):
        done = subprocess.run([ANALYZE or "", *check], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert check[0] == "security" or not done.stderr, done.stderr


def test_its_command_is_one_that_there_is() -> None:
    found = re.search(r"^ExecStart=\S+ (.*)$", UNIT.read_text(), flags=re.MULTILINE)
    assert found is not None
    asked = parser().parse_args(found[1].split())
    assert (asked.command, asked.access, asked.log) == ("serve", "token", "json")
