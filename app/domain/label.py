"""Labels: what people and models call a feature, and the history of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

PERSON = "person"  # the source of a label that no model wrote


@dataclass(frozen=True)
class Label:
    """A short description of a feature, with where it came from.

    author: who wrote the text as it is now; source: PERSON, or the model's name. version: one more with every change
    of the text. starred_by: who finds it good.
    """

    id: int
    text: str
    author: str
    source: str
    score: float | None
    created_at: datetime
    changed_at: datetime
    version: int
    starred_by: Sequence[str]

    @property
    def stars(self) -> int:
        return len(self.starred_by)


@dataclass(frozen=True)
class LabelRecord:
    """A label as a file holds it. created_at: None for now."""

    feature: int
    text: str
    author: str
    source: str
    score: float | None
    created_at: datetime | None
    starred_by: Sequence[str]


@dataclass(frozen=True)
class ImportReport:
    """Labels of a file that were (or would be) added or given another score, that were there, and stars given."""

    added: int
    changed: int
    unchanged: int
    starred: int


class LabelAction(StrEnum):
    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"
    RESTORED = "restored"


@dataclass(frozen=True)
class LabelChange:
    """One change of one label. text, author, source: as it was afterwards (before, where it was removed)."""

    id: int
    label: int
    action: LabelAction
    by: str
    at: datetime
    text: str
    author: str
    source: str
