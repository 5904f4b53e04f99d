"""A feature to take along: its link, and what to paste into a text, a program or another page."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from app.access.routes import needs
from app.domain import Dictionary, Example, Feature, Group
from app.pages.filters import number, share
from app.pages.snippets import View, shown
from app.pages.web import ReadSession, render
from app.roles import Role
from app.store.dictionaries import get_dictionary
from app.store.examples import list_examples
from app.store.features import get_feature

router = APIRouter(dependencies=[needs(Role.READ)])
EXAMPLES = 5
EMBED_HEIGHT = 420  # pixels, until the embedded page tells its own
_MARKDOWN = str.maketrans({sign: "\\" + sign for sign in "\\`*_[]<>|~"})
_BEGINS_BLOCK = re.compile(r"^(\s*)([#+-]|\d+(?=[.)]))")  # a heading, a list
TEXT = 1000  # characters of an example that stay whole in JSON
WIDTH = 88  # characters of a line as the page shows it


@dataclass(frozen=True)
class Copyable:
    id: str
    name: str
    text: str
    n_lines: int


@dataclass(frozen=True)
class CopyPage:
    dictionary: Dictionary
    feature: Feature
    texts: Sequence[Copyable]


@router.get("/dictionaries/{dictionary_id}/features/{index}/copy")
def show_copy(dictionary_id: str, index: int, request: Request, session: ReadSession) -> HTMLResponse:
    dictionary = get_dictionary(session, dictionary_id)
    feature = get_feature(session, dictionary, index)
    examples = list_examples(session, dictionary, index, Group.TOP, None, EXAMPLES).items
    path = f"dictionaries/{dictionary.id}/features/{index}"
    link, embed = f"{request.base_url}{path}", f"{request.base_url}embed/{path}"
    texts = {
        "link": ("Link", link),
        "json": ("JSON", as_json(dictionary, feature, examples, link)),
        "markdown": ("Markdown", as_markdown(dictionary, feature, examples, link)),
        "embed": ("Embed (HTML)", as_frame(feature, embed)),
        "jupyter": ("Jupyter (Python)", as_python(embed)),
    }
    shown_texts = [Copyable(id, name, text, _n_lines(text)) for id, (name, text) in texts.items()]
    return render("copy.html", CopyPage(dictionary, feature, shown_texts))


def _n_lines(text: str) -> int:
    return min(12, sum(1 + len(line) // WIDTH for line in text.split("\n")))


def as_json(dictionary: Dictionary, feature: Feature, examples: Sequence[Example], link: str) -> str:
    """In short; the API's answer has everything."""
    kept = {
        "link": link,
        "dictionary": dictionary.id,
        "index": feature.index,
        "label": feature.label,
        "density": feature.density,
        "max_activation": feature.max_activation,
        "top_tokens": [token.token for token in feature.top_tokens],
        "examples": [
            {"text": _text(e), "peak": e.peak.token, "activation": e.peak.activation} for e in examples if e.peak
        ],
    }
    return json.dumps(kept, ensure_ascii=False, indent=1)


def _text(example: Example) -> str:
    """What is around the peak, of a sentence of many paragraphs."""
    return (
        example.text
        if len(example.text) <= TEXT
        else "".join(token.text for token in shown(example, View.SNIPPET).tokens)
    )


def as_markdown(dictionary: Dictionary, feature: Feature, examples: Sequence[Example], link: str) -> str:
    name = f"Feature {feature.index}" + (f": {feature.label}" if feature.label else "")
    lines = [f"[**{name.translate(_MARKDOWN)}**]({link}) of {dictionary.title.translate(_MARKDOWN)}"]
    if feature.n_active_tokens:
        lines[0] += f", fires on {share(feature.density)} of tokens, at most {number(feature.max_activation)}"
    return "\n".join([lines[0], "", *(f"- {quoted(example)}" for example in examples)])


def as_frame(feature: Feature, embed: str) -> str:
    title = escape(f"Feature {feature.index}" + (f": {feature.label}" if feature.label else ""))
    return f'<iframe src="{embed}" title="{title}" width="100%" height="{EMBED_HEIGHT}" loading="lazy"></iframe>'


def as_python(embed: str) -> str:
    return f'from IPython.display import IFrame; IFrame("{embed}", "100%", {EMBED_HEIGHT})'


def quoted(example: Example) -> str:
    """One line, its peak token bold."""
    found = shown(example, View.SNIPPET)
    parts = []
    for text, _, is_peak in found.tokens:
        plain = " ".join(text.splitlines()).translate(_MARKDOWN)
        core = plain.strip()
        parts.append(plain.replace(core, f"**{core}**", 1) if is_peak and core else plain)
    line = ("…" if found.cut_before else "") + "".join(parts).strip() + ("…" if found.cut_after else "")
    return _BEGINS_BLOCK.sub(r"\1\\\2", line)
