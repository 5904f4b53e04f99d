"""What a build tells the person who waits for it."""

import sys
from typing import Any

from tqdm import tqdm


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def progress(total: int, what: str, unit: str) -> Any:
    """A bar with rate and time left on a terminal, a line now and then elsewhere."""
    interval = 0.2 if sys.stderr.isatty() else 10
    return tqdm(total=total, desc=what, unit=unit, unit_scale=True, mininterval=interval, file=sys.stderr)
