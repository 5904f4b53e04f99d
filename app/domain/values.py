"""Values that no one noun owns: what JSON can hold, a page of a list, a histogram."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
T = TypeVar("T")
HISTOGRAM_BINS = 20


@dataclass(frozen=True)
class Slice(Generic[T]):
    """One page of a list: `next` is the cursor of the page after it, `total` counts the whole list."""

    items: Sequence[T]
    next: str | None
    total: int


@dataclass(frozen=True)
class Histogram:
    """counts[i] values v with edges[i] < v <= edges[i + 1]; len(edges) == len(counts) + 1."""

    edges: Sequence[float]
    counts: Sequence[int]
