"""Pieces: the corpus cut into runs of whole records, the unit that is computed, checkpointed and dealt to shards.

Where a piece ends depends on the texts alone, so that a shard finds its pieces without tokenizing those of the others.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from queue import Full, Queue
from threading import Event, Thread
from typing import Generic, TypeVar

from app.engine.tokens import Window
from app.errors import Invalid
from app.index.corpus import Record
from app.index.draw import record_is_sampled

PIECE_CHARACTERS = 1 << 17  # about 32,768 tokens of English
_AHEAD = 2  # pieces tokenized before they are asked for
T = TypeVar("T")


@dataclass(frozen=True)
class Placed:
    """A window with the record that it came from."""

    window: Window
    record_number: int
    record: Record


@dataclass(frozen=True)
class Piece:
    """number: counts the corpus' pieces. read: bytes of the files taken so far."""

    number: int
    windows: Sequence[Placed]
    read: int


@dataclass(frozen=True)
class Shard:
    """Piece p belongs to shard p mod n + 1 of n."""

    number: int = 1
    of: int = 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def holds(self, piece: int) -> bool:
        return piece % self.of == self.number - 1


WHOLE = Shard()


def parse_shard(text: str) -> Shard:
    """`2/8` -> the second of eight. Raises Invalid."""
    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise Invalid(f"--shard {text} cannot be; it takes i/n with i from 1 to n, such as 2/8.")
    return Shard(int(number), int(of))


@dataclass(frozen=True)
class Selection:
    """Which part of the corpus is read. max_tokens, sample: None takes all; sample: a share of the records."""

    shard: Shard = WHOLE
    max_tokens: int | None = None
    sample: float | None = None
    seed: int = 0


def read_pieces(
    records: Iterable[Record], tokenize: Callable[[str], list[Window]], selection: Selection, first: int
) -> Iterator[Piece]:
    """The shard's pieces from number `first` on. tokenize: a text -> its windows."""
    tokens_left = selection.max_tokens
    for number, some in enumerate(_cut(_sampled(records, selection))):
        wanted = number >= first and selection.shard.holds(number)
        # How many tokens are left can only be known by counting those of every piece before.
        if not wanted and tokens_left is None:
            continue
        placed = [Placed(window, n, record) for n, record in some for window in tokenize(record.text)]
        if tokens_left is not None:
            placed, tokens_left = _limited(placed, tokens_left)
        if wanted:
            yield Piece(number, placed, some[-1][1].read)
        if tokens_left == 0:
            return


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, made in a thread of their own before they are asked for."""
    return _Ahead(items).taken()


class _Ahead(Generic[T]):
    def __init__(self, items: Iterator[T]) -> None:
        self.items = items
        self.made: Queue[T | Exception | None] = Queue(_AHEAD)
        self.stopped = Event()
        self.thread = Thread(target=self._make, daemon=True)

    def taken(self) -> Iterator[T]:
        self.thread.start()
        try:
            while (item := self._next()) is not None:
                yield item
        finally:
            self.stopped.set()
            self.thread.join()

    def _next(self) -> T | None:
        item = self.made.get()
        if isinstance(item, Exception):
            raise item
        return item

    def _make(self) -> None:
        try:
            for item in self.items:
                self._put(item)
                if self.stopped.is_set():
                    return
            self._put(None)
        except Exception as error:  # raised again where the items are asked for
            self._put(error)

    def _put(self, item: T | Exception | None) -> None:
        while not self.stopped.is_set():
            with contextlib.suppress(Full):
                self.made.put(item, timeout=0.1)
                return


def _sampled(records: Iterable[Record], selection: Selection) -> Iterator[tuple[int, Record]]:
    for number, record in enumerate(records):
        if selection.sample is None or record_is_sampled(selection.seed, number, selection.sample):
            yield number, record


def _cut(records: Iterable[tuple[int, Record]]) -> Iterator[list[tuple[int, Record]]]:
    some: list[tuple[int, Record]] = []
    n_characters = 0
    for number, record in records:
        some.append((number, record))
        n_characters += len(record.text)
        if n_characters >= PIECE_CHARACTERS:
            yield some
            some, n_characters = [], 0
    if some:
        yield some


def _limited(placed: Sequence[Placed], tokens_left: int) -> tuple[list[Placed], int]:
    """The windows until they hold tokens_left tokens, the one that reaches it whole; and how many are left then."""
    kept = []
    for one in placed:
        if tokens_left <= 0:
            break
        kept.append(one)
        tokens_left -= len(one.window.token_ids)
    return kept, max(tokens_left, 0)
