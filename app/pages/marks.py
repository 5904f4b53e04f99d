"""HTML that a page has hundreds of: heated tokens, lone tokens, bars. Everything else is written by templates.

A macro's call and its escaping of one value after the other cost several microseconds; a list has thousands of values.
Every text from outside goes through `escaped` here, and nothing here takes HTML.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from markupsafe import Markup

from app.domain import FeatureSummary, Neighbor, TokenLogit, TokenShare, telling_tokens
from app.pages import glossary
from app.pages.escaping import escaped, escaped_each
from app.pages.filters import heat, number, share, shortened, visible
from app.pages.glossary import Words
from app.pages.snippets import ShownExample, ShownToken
from app.store.words import most_accents

if TYPE_CHECKING:
    from app.pages.charts import Bar, Chart

_LINE = '<p class="sentence line" dir="ltr"><span class="left"><span>{}</span></span><span class="right">{}</span></p>'
FEW_ACCENTS = 3  # on one character: more of them would cover other lines, and are clipped
TOPIC = 30  # characters
LONE = 40  # characters of a token that stands alone; there are tokens of a hundred dashes
_CUT = '<span class="cut">…</span>'


class Named(Protocol):
    """A feature as lists know it."""

    @property
    def label(self) -> str | None: ...
    @property
    def top_tokens(self) -> Sequence[TokenShare]: ...


def topic(value: str) -> Markup:
    """A value of metadata where there is little room: `sports_and_games` may break behind a sign of its own."""
    return _safe(escaped(shortened(value, TOPIC)).replace("_", "_<wbr>"))


def heated(tokens: Sequence[ShownToken], scale: float, with_values: bool = True) -> Markup:
    """Tokens with their heat; silent ones are plain text. scale: the activation shown at full strength.

    with_values: each with its activation, to be shown on hover and focus; a list shows none, and is half as heavy.
    """
    return _safe(_heated(tokens, scale, with_values))


def _heated(tokens: Sequence[ShownToken], scale: float, with_values: bool = True) -> str:
    parts: list[str] = []
    texts = escaped_each([token.text for token in tokens])
    for (_, activation, is_peak), text in zip(tokens, texts, strict=True):
        if activation:
            peak = " peak" if is_peak else ""
            value = f' data-activation="{number(activation)}"' if with_values else ""
            parts.append(f'<span class="token heat-{heat(activation, scale)}{peak}"{value}>{text}</span>')
        elif is_peak:
            parts.append(f'<span class="token peak">{text}</span>')
        else:
            parts.append(text)
    return "".join(parts)


def sentence(shown: ShownExample, scale: float, with_values: bool = True) -> Markup:
    """What is shown of a sentence with its heat, and where it is cut. scale, with_values: see heated."""
    return _safe(_sentence(shown, scale, with_values))


def _sentence(shown: ShownExample, scale: float, with_values: bool = True) -> str:
    before, after = _CUT if shown.cut_before else "", _CUT if shown.cut_after else ""
    piled = " piled" if most_accents(shown.example.text) > FEW_ACCENTS else ""
    return f'<p class="sentence{piled}" dir="auto">{before}{_heated(shown.tokens, scale, with_values)}{after}</p>'


def example_item(shown: ShownExample, path: str, feature: int, scale: float | None, is_line: bool) -> Markup:
    """One example of a feature: its peak, the sentence with its heat, where it comes from.

    path: the dictionary's. scale: see heated; None for the sentence's own peak. is_line: one line of it, its peak where
    the other lines have theirs.
    """
    example = shown.example
    id, peak = example.sentence, example.peak.activation if example.peak else 0.0
    full, value = scale or peak, number(peak)
    said = f"Sentence {id}: silent"
    if example.peak and peak:
        at, n = example.peak.token.strip(), len(example.ends)
        said = f"Sentence {id}: peak {value} at {at}, fires on {shown.n_firing} of its {n} tokens"
    if is_line:
        text = _LINE.format(_heated(shown.before_peak, full), _heated(shown.from_peak, full))
    else:
        text = f"<div>{_sentence(shown, full)}{_metadata(shown.metadata)}</div>"
    return _safe(
        f'<li data-row tabindex="-1" id="sentence-{id}"><a class="value" href="{escaped(path)}/sentences/{id}?'
        f'feature={feature}" aria-label="{escaped(said)}">{value}</a>{text}</li>'
    )


def _metadata(metadata: Sequence[tuple[str, str]]) -> str:
    if not metadata:
        return ""
    fields = "".join(f"<span>{escaped(field)}: <b>{escaped(value)}</b></span>" for field, value in metadata)
    return f'<p class="meta">{fields}</p>'


def lone_token(text: str) -> Markup:
    """A token that stands alone, its spaces made visible."""
    return _safe(_lone(text))


def feature_name(feature: Named) -> Markup:
    """What a feature is called in a list: its label, else the most telling of the tokens that it fires on most."""
    return _safe(_name(feature))


def density_bar(feature: FeatureSummary, place: float) -> Markup:
    """A density in per cent over a bar on a log scale. place: 0 to 1 on that."""
    if not feature.n_active_tokens:
        return _safe('<span class="quiet">0</span>')
    return _safe(f'<span class="density-value">{share(feature.density)}</span>{_bar_of(place)}')


def share_bar(value: float) -> Markup:
    """A share of 1 as a thin bar; the number stands beside it, so it is decoration."""
    return _safe(_bar_of(value))


def token_rows(tokens: Sequence[TokenShare]) -> Markup:
    """Tokens that a feature fires on, each with its share of the firing and the share of its own occurrences."""
    rows = []
    for token in tokens:
        own = f"<td>{share(token.own_share)}</td>" if token.own_share is not None else ""
        rows.append(
            f'{_head(_lone(token.token))}<td class="bar">{_bar_of(token.share)}</td><td>{share(token.share)}</td>{own}'
        )
    return _rows(rows)


def logit_rows(logits: Sequence[TokenLogit]) -> Markup:
    return _rows([f"{_head(_lone(logit.token))}<td>{number(logit.logit)}</td>" for logit in logits])


def neighbor_rows(near: Sequence[Neighbor], path: str) -> Markup:
    """Features near another one, as links by their names, each with its likeness. path: the dictionary's."""
    begins = f'<a class="feature" href="{escaped(path)}/features/'
    return _rows(
        [
            _head(f'{begins}{other.index}"><span class="index">{other.index}</span> {_name(other)}</a>')
            + f"<td>{number(other.value)}</td>"
            for other in near
        ]
    )


def _lone(text: str) -> str:
    return f'<code class="lone" dir="auto">{escaped(visible(shortened(text, LONE)))}</code>'


def _name(feature: Named) -> str:
    if feature.label:
        return f'<span class="name">{escaped(shortened(feature.label))}</span>'
    if not feature.top_tokens:
        return '<span class="quiet">never fired</span>'
    tokens = " ".join([_lone(token.token) for token in telling_tokens(feature.top_tokens)])
    return f'<span class="tokens">{tokens}</span>'


def _bar_of(value: float) -> str:
    width = min(max(100 * value, 1), 100)
    return (
        '<svg class="share" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{width:.1f}" height="4" rx="1"/></svg>'
    )


def _head(html: str) -> str:
    return f'<th scope="row">{html}</th>'


def _rows(rows: Sequence[str]) -> Markup:
    return _safe("".join([f"<tr>{row}</tr>" for row in rows]))


def bars(chart: "Chart") -> Markup:
    """The bars of a chart, each with its numbers in words, and a link where it leads somewhere."""
    reach = f'y="0" height="{chart.height}"/><rect rx="1" x="'
    said_at = f'"/><text class="said" x="{chart.width}" y="-5">'
    return _safe("\n".join([_bar(bar, reach, said_at, place == 0) for place, bar in enumerate(chart.bars)]))


def ticks(chart: "Chart") -> Markup:
    """The values below a chart's axis; those at its ends are written inwards."""
    below, last = chart.height + 13, len(chart.ticks) - 1
    written = []
    for place, tick in enumerate(chart.ticks):
        first_of = " first" if place == 0 and not chart.are_ticks_centred else ""
        last_of = " last" if place == last and tick.x > chart.width * 0.95 else ""
        written.append(
            f'<text class="tick{first_of}{last_of}" x="{tick.x}" y="{below}" aria-hidden="true">'
            f"{escaped(tick.text)}</text>"
        )
    return _safe("\n    ".join(written))


def bar_rows(chart: "Chart") -> Markup:
    """The same numbers as rows of a table."""
    return _safe(
        "".join(f'<tr><th scope="row">{escaped(b.what)}</th><td>{escaped(b.value)}</td></tr>' for b in chart.bars)
    )


def words(some: Iterable[Words]) -> Markup:
    """A text with the elements that its stretches stand in (see glossary.py)."""
    return _safe("".join(f"<{w.kind}>{escaped(w.text)}</{w.kind}>" if w.kind else escaped(w.text) for w in some))


@lru_cache(maxsize=512)  # the same few on every page
def meaning(name: str, said: str) -> Markup:
    """A word with what it means one click or key away. said: an anchor of docs/definitions.md, or the text itself."""
    return _safe(
        f'<details class="meaning"><summary>{escaped(name)}</summary>'
        f'<div class="said"><p>{words(glossary.definition(said))}</p></div></details>'
    )


def _bar(bar: "Bar", reach: str, said_at: str, is_first: bool) -> str:
    """reach: how far up the bar is felt; said_at: where its numbers show. Both are the same for all of a chart."""
    said = escaped(f"{bar.what}: {bar.value}")
    place = f'{bar.x}" width="{bar.width}"'
    drawn = f'<rect class="reach" x="{place} {reach}{place} y="{bar.y}" height="{bar.height}{said_at}{said}</text>'
    if not bar.href:
        return f'<g class="bar" role="img" aria-label="{said}" tabindex="{0 if is_first else -1}">{drawn}</g>'
    return (
        f'<a class="bar{" chosen" if bar.is_chosen else ""}" href="{escaped(bar.href)}" aria-label="{said}" '
        f'data-low="{escaped(bar.low)}" data-high="{escaped(bar.high)}">{drawn}</a>'
    )


def _safe(html: str) -> Markup:
    return Markup(html)  # noqa: S704 - made above, of literals, numbers and escaped texts


MARKS: dict[str, Callable[..., Markup]] = {
    "topic": topic,
    "heated": heated,
    "sentence": sentence,
    "example_item": example_item,
    "lone_token": lone_token,
    "feature_name": feature_name,
    "density_bar": density_bar,
    "token_rows": token_rows,
    "logit_rows": logit_rows,
    "neighbor_rows": neighbor_rows,
    "share_bar": share_bar,
    "bars": bars,
    "ticks": ticks,
    "bar_rows": bar_rows,
    "words": words,
    "meaning": meaning,
}
