"""What was read of a database, kept until somebody commits anything to it."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from app.store.database import Database

T = TypeVar("T")


class Unchanged(Generic[T]):
    """By database and key. To ask whether anything has changed takes a tenth of a session's time."""

    def __init__(self) -> None:
        # Of each database the version that was read, and what it held then.
        self._kept: WeakKeyDictionary[Database, tuple[object, dict[Hashable, T]]] = WeakKeyDictionary()

    def of(self, database: Database, key: Hashable, read: Callable[[], T]) -> T:
        """What `read` gave since the last commit. It reads in a session of its own, begun by it."""
        version = database.version()  # before it is read: it may be newer than that says, never older
        read_at, kept = self._kept.get(database, (None, {}))
        if read_at != version:
            kept = {}
        if key not in kept:
            kept[key] = read()
            self._kept[database] = version, kept
        return kept[key]
