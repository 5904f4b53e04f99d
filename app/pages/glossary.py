"""What every number means, from docs/definitions.md: one place for documentation, a page, and each number's popup."""

import re
from dataclasses import dataclass
from functools import cache

from app.pages.assets import bundled

_TERM = re.compile(r"\*\*(.+?)\.\*\*\s*(.+)", re.DOTALL)
_MARKED = re.compile(r"`(?P<code>.+?)`|\*\*(?P<b>.+?)\*\*|\*(?P<em>\w.*?)\*")


@dataclass(frozen=True)
class Words:
    """A stretch of a text. kind: the element that it stands in (code, b, em), empty for plain text."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class Definition:
    """anchor: the term in lower case, words joined by '-'."""

    anchor: str
    term: str
    text: list[Words]


@cache
def definitions() -> dict[str, Definition]:
    """By anchor, in the order of the file: each paragraph that begins with a term in bold is one."""
    found = {}
    for paragraph in _paragraphs():
        match = _TERM.match(paragraph)
        if match:
            term, text = match.groups()
            anchor = re.sub(r"[^a-z0-9]+", "-", term.lower()).strip("-")
            found[anchor] = Definition(anchor, term, _words(" ".join(text.split())))
    return found


@cache
def introduction() -> str:
    """What stands before the first term."""
    return next(p for p in _paragraphs() if not p.startswith(("#", "**")))


def definition(name: str) -> list[Words]:
    """The text of a definition by its anchor; words that are no anchor are a definition themselves."""
    if re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        return definitions()[name].text
    return [Words(name)]


def _paragraphs() -> list[str]:
    return (bundled("docs") / "definitions.md").read_text("utf-8").split("\n\n")


def _words(text: str) -> list[Words]:
    """Cut at the few signs of Markdown that the file uses: code, and words in bold or italics."""
    found, end = [], 0
    for match in _MARKED.finditer(text):
        found += [Words(text[end : match.start()])] if match.start() > end else []
        found.append(Words(str(match.group(match.lastgroup or 0)), str(match.lastgroup)))
        end = match.end()
    return [*found, Words(text[end:])]
