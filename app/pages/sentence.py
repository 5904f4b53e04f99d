"""One sentence of a corpus: its text, where it comes from, and the features that it is among the strongest of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query
from starlette.responses import HTMLResponse

from app.access.routes import needs
from app.domain import Dictionary, Example, FeatureSummary, Group, Sentence
from app.errors import NotFound
from app.pages.filters import shortened
from app.pages.snippets import ShownExample, View, shown
from app.pages.web import Models, ReadSession, render
from app.roles import Role
from app.store.dictionaries import get_dictionary
from app.store.examples import examples_of_sentence, find_example
from app.store.features import get_feature, get_summaries
from app.store.sentences import get_sentence, sentence_neighbors

router = APIRouter(dependencies=[needs(Role.READ)])
FEATURES = 50
LIVE = 5000  # bytes of an address that the text may take
FIELDS, FIELD, VALUE = 20, 60, 400  # of its metadata: how many, and their characters


@dataclass(frozen=True)
class Strong:
    """A feature that counts the sentence among its strongest. rank: from 1; share: peak over the feature's maximum."""

    feature: FeatureSummary
    peak: float
    token: str
    rank: int
    share: float
    href: str
    is_followed: bool


@dataclass(frozen=True)
class SentencePage:
    """live_href: to the text, or to its beginning where an address cannot hold it. followed: the
    feature whose activations the text is shown with; None where none is known.
    """

    dictionary: Dictionary
    sentence: Sentence
    metadata: Sequence[tuple[str, str]]
    shown: ShownExample
    followed: FeatureSummary | None
    strong: Sequence[Strong]
    n_strong: int
    before_href: str | None
    after_href: str | None
    live_href: str
    is_live_whole: bool
    unavailable: str | None


@router.get("/dictionaries/{dictionary_id}/sentences/{number}")
def show_sentence(
    dictionary_id: str,
    number: int,
    session: ReadSession,
    models: Models,
    feature: Annotated[int | None, Query(ge=0)] = None,
) -> HTMLResponse:
    dictionary = get_dictionary(session, dictionary_id)
    sentence = get_sentence(session, dictionary, number)
    found = examples_of_sentence(session, dictionary, number, FEATURES)
    followed, example = next(iter(found.items), (None, None))
    if feature is not None:
        get_feature(session, dictionary, feature)
        followed, example = feature, find_example(session, dictionary, feature, number)
        if example is None:
            raise NotFound(f"Sentence {number} is none of the examples kept for feature {feature}; try it live.")
    indices = [index for index, _ in found.items] + ([followed] if followed is not None else [])
    summaries = get_summaries(session, dictionary, indices)
    before, after = sentence_neighbors(session, dictionary, number)
    path = f"/dictionaries/{dictionary.id}"
    quoted = quote(sentence.text)
    page = SentencePage(
        dictionary=dictionary,
        sentence=sentence,
        metadata=[
            (shortened(field, FIELD), shortened(str(value), VALUE))
            for field, value in list(sentence.metadata.items())[:FIELDS]
        ],
        shown=shown(example or _silent(sentence), View.FULL),
        followed=summaries[followed] if followed is not None else None,
        strong=[_strong(path, number, summaries[index], example, followed) for index, example in found.items],
        n_strong=found.total,
        before_href=f"{path}/sentences/{before}" if before is not None else None,
        after_href=f"{path}/sentences/{after}" if after is not None else None,
        live_href=f"{path}/live?text=" + (quoted if len(quoted) <= LIVE else quote(_beginning(sentence.text, quoted))),
        is_live_whole=len(quoted) <= LIVE,
        unavailable=models.unavailable(dictionary),
    )
    return render("sentence.html", page)


def _beginning(text: str, quoted: str) -> str:
    """As much of a text as LIVE bytes of an address hold, if its characters are alike."""
    return text[: len(text) * LIVE // len(quoted)]


def _strong(path: str, number: int, feature: FeatureSummary, example: Example, followed: int | None) -> Strong:
    peak = example.peak.activation if example.peak else 0.0
    return Strong(
        feature=feature,
        peak=peak,
        token=example.peak.token if example.peak else "",
        rank=example.rank + 1,
        share=peak / feature.max_activation if feature.max_activation else 0.0,
        href=f"{path}/sentences/{number}?feature={feature.index}",
        is_followed=feature.index == followed,
    )


def _silent(sentence: Sentence) -> Example:
    """The sentence as an example that no feature is known to fire on."""
    return Example(
        group=Group.SILENT,
        rank=0,
        sentence=sentence.number,
        text=sentence.text,
        peak=None,
        ends=sentence.ends,
        firings={},
        metadata=sentence.metadata,
        offset=sentence.offset,
    )
