"""The threat table of SECURITY.md names tests that there are."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_every_threat_is_shown_by_a_test_that_there_is() -> None:
    rows = [line for line in (ROOT / "SECURITY.md").read_text().splitlines() if re.match(r"\| (?!who \||---)", line)]
    assert len(rows) > 15
    there_are = {
        name for file in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text())
    }
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row.split("|")[-2])
        assert named, row
        assert set(named) <= there_are, row
