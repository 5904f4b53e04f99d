"""What a search finds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.domain.sentence import Example
from app.domain.values import Slice


@dataclass(frozen=True)
class SearchHit:
    """A feature that a search found. matched: label, token, text or metadata; snippet: what the words stand in.

    marks: ascending (start, end) of the snippet, the words that were looked for. n_examples: how many of its
    strongest examples hold them, of those that the search read; where metadata matched, how many have them there.
    n_strongest: of how many. tokens: the most telling that it fires on, where it has no label. example: one whose
    metadata matched. number: of the sentence that the snippet or the metadata is of.
    """

    dictionary: str
    index: int
    label: str | None
    matched: str
    snippet: str
    marks: Sequence[tuple[int, int]]
    n_examples: int
    n_strongest: int
    tokens: Sequence[str] = ()
    example: Example | None = None
    number: int | None = None


@dataclass(frozen=True)
class SearchResults:
    """kinds, dictionaries: features by what matched and by dictionary id, whatever of them is asked for.

    is_complete: false where the words are so common that only the strongest examples with them were read; numbers are
    then lower bounds.
    """

    hits: Slice[SearchHit]
    kinds: Mapping[str, int]
    dictionaries: Mapping[str, int]
    is_complete: bool
