"""What a person types into the search box: words, "phrases", beginnings*, and -words to leave out.

Everything else is text: no sign is a mistake, and none is an operator of the database.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from app.errors import Invalid
from app.store.words import lexeme, spaced, words

MAX_TERMS = 32
# A minus counts only before a word or a quote, a quote only at the beginning, an asterisk only behind a letter.
_TERM = re.compile(r'(?P<minus>-(?=[\w"]))?(?:"(?P<quoted>[^"]+)(?:"|$)|(?P<plain>\S+))')


@dataclass(frozen=True)
class Term:
    """Words that stand side by side. is_prefix: the last may go on; others: what the last may be instead.

    text: as it was typed, without quotes and asterisk.
    """

    text: str
    words: tuple[str, ...]
    is_prefix: bool = False
    is_quoted: bool = False
    others: tuple[str, ...] = ()

    @property
    def last(self) -> str:
        return self.words[-1]

    @property
    def can_loosen(self) -> bool:
        """Whether other words than the one typed may be meant: `tenn` in tennis. A sign means itself."""
        return not self.is_prefix and not self.is_quoted and self.last[-1].isalnum()


@dataclass(frozen=True)
class SearchQuery:
    """All of `wanted` and none of `excluded`, in one text."""

    wanted: tuple[Term, ...]
    excluded: tuple[Term, ...]

    def loosened(self, others: Mapping[Term, Sequence[str]]) -> "SearchQuery":
        """Where each term may end in the other words given for it."""
        return replace(self, wanted=tuple(replace(t, others=tuple(others.get(t, ()))) for t in self.wanted))


def parse_query(q: str) -> SearchQuery:
    """Raises Invalid where nothing is looked for, or far too much."""
    wanted: list[Term] = []
    excluded: list[Term] = []
    for match in _TERM.finditer(q):
        term = _term(match["quoted"], match["plain"])
        if term is not None:
            (excluded if match["minus"] else wanted).append(term)
    if not wanted and excluded:
        raise Invalid("The search only leaves out; type a word to look for as well, without a minus.")
    if not wanted:
        raise Invalid("The search is empty; type a word.")
    if len(wanted) + len(excluded) > MAX_TERMS:
        raise Invalid(f"The search has {len(wanted) + len(excluded)} words; it may have {MAX_TERMS}.")
    return SearchQuery(tuple(dict.fromkeys(wanted)), tuple(dict.fromkeys(excluded)))


def _term(quoted: str | None, plain: str | None) -> Term | None:
    text = quoted if quoted is not None else plain or ""
    is_prefix = quoted is None and len(text) > 1 and text[-1] == "*" and text[-2].isalnum()
    text = text.removesuffix("*") if is_prefix else text
    found = tuple(spaced(text).split())
    # What begins with one letter is most of a corpus: there the commonest such words do, as for any word.
    is_prefix = is_prefix and len(text) > 1
    return Term(text, found, is_prefix, quoted is not None) if found else None


def match_expression(query: SearchQuery, column: str) -> str:
    """The query in the language of SQLite's FTS5."""
    wanted = " AND ".join(_any(_fts5_phrases(term)) for term in query.wanted)
    excluded = "".join(f" NOT {_any(_fts5_phrases(term))}" for term in query.excluded)
    return f"{{{column}}} : ({f'({wanted})' if excluded else wanted}{excluded})"


def tsquery_text(query: SearchQuery) -> str:
    """The query in the language of PostgreSQL's tsquery."""
    wanted = [_any(_tsquery_phrases(term), "|") for term in query.wanted]
    return " & ".join(wanted + ["!" + _any(_tsquery_phrases(term), "|") for term in query.excluded])


def _any(phrases: Sequence[str], operator: str = "OR") -> str:
    return "(" + f" {operator} ".join(phrases) + ")"


def _fts5_phrases(term: Term) -> list[str]:
    quoted = [" ".join((*term.words[:-1], last)).replace('"', '""') for last in (term.last, *term.others)]
    return [f'"{phrase}"' + ("*" if term.is_prefix else "") for phrase in quoted]


def _tsquery_phrases(term: Term) -> list[str]:
    return [
        "(" + " <-> ".join(map(lexeme, (*term.words[:-1], last))) + (":*" if term.is_prefix else "") + ")"
        for last in (term.last, *term.others)
    ]


def matches(query: SearchQuery, text: str) -> list[tuple[int, int]]:
    """Where a text holds what is looked for, as ascending (start, end) that do not overlap; for showing it marked."""
    found = list(words(text))
    folded = [word.folded for word in found]
    marked: set[int] = set()
    for term in query.wanted:
        ends = {term.last, *term.others}
        n = len(term.words)
        for at in range(len(found) - n + 1):
            last = folded[at + n - 1]
            if (last in ends or (term.is_prefix and last.startswith(term.last))) and all(
                folded[at + i] == term.words[i] for i in range(n - 1)
            ):
                marked.update(range(at, at + n))
    return _joined([(found[i].start, found[i].end) for i in sorted(marked)], text)


def _joined(spans: Sequence[tuple[int, int]], text: str) -> list[tuple[int, int]]:
    """Spans with nothing but space between them become one."""
    made: list[tuple[int, int]] = []
    for start, end in spans:
        if made and not text[made[-1][1] : start].strip():
            made[-1] = (made[-1][0], end)
        else:
            made.append((start, end))
    return made
