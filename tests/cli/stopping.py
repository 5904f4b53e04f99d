"""The command line, which a signal meets as soon as it says some words: always at the same place, however slow it is.

In a process of its own: python -m tests.cli.stopping SIGNAL WORDS ARGUMENTS...
"""

import io
import signal
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr

from app.__main__ import main


class Said(io.StringIO):
    """What is said. The first time that `words` are among it, the signal is raised."""

    def __init__(self, words: str, stop: signal.Signals) -> None:
        super().__init__()
        self.words: str | None = words
        self.stop = stop

    def write(self, text: str) -> int:
        n = super().write(text)
        if self.words is not None and self.words in text:
            self.words = None
            signal.raise_signal(self.stop)
        return n


def run_until(words: str, stop: signal.Signals, arguments: Sequence[str]) -> tuple[int, str]:
    """The exit status and what was said."""
    with redirect_stderr(Said(words, stop)) as said:
        status = main(arguments)
    return status, said.getvalue()


if __name__ == "__main__":
    sys.exit(run_until(sys.argv[2], signal.Signals[sys.argv[1]], sys.argv[3:])[0])
