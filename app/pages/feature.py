"""One feature: its examples by group, statistics, logits, neighbours and labels."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from urllib.parse import urlencode

from fastapi import APIRouter
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse

from app.access.routes import needs
from app.domain import INTERVAL_GROUPS, Dictionary, Example, Feature, Group, MetadataShare, Slice
from app.pages.charts import Chart, activation_chart, sentence_chart
from app.pages.choices import Choice
from app.pages.feature_state import AskedState, Bars, FeatureState, HeatScale, Spaces
from app.pages.filters import count, number, share
from app.pages.kept import kept
from app.pages.labelling import AskedLabeller, Labelling
from app.pages.list_form import read_among
from app.pages.snippets import ShownExample, View, fitting, shown
from app.pages.web import Models, ReadSession, render
from app.roles import Role
from app.store.dictionaries import get_dictionary
from app.store.examples import list_and_count_examples
from app.store.feature_list import list_neighbors
from app.store.features import get_feature
from app.store.labels import list_labels
from app.store.topic_index import LIFT, LONGEST, SHARE

router = APIRouter(dependencies=[needs(Role.READ)])
EXAMPLES = 20  # a page; full sentences are heavier
FULL_EXAMPLES = 10
# Bytes that examples may weigh, and of these what a field of metadata and a label weigh at most beside them: where a
# feature fires on nearly every token, a page has fewer examples.
MOST_EXAMPLES, FIELD, LABEL = 40_000, 2_000, 2_500
ALIKE = 5  # neighbours of each kind
VIEWS = {View.SNIPPET: "Snippets", View.FULL: "Full", View.LINE: "Lines"}
SPACES = {Spaces.PLAIN: "Plain", Spaces.SHOWN: "Signs"}
HEATS = {HeatScale.FEATURE: "Feature", HeatScale.SENTENCE: "Sentence"}
BARS = {Bars.LINEAR: "Linear", Bars.LOG: "Log"}


@dataclass(frozen=True)
class IntervalTab:
    """One fifth of (0, max]. share: of the feature's active tokens, which lie there; n: examples."""

    low: float
    high: float
    share: float
    n: int
    href: str
    is_current: bool


@dataclass(frozen=True)
class Ends:
    """Shares of the feature's active tokens at the first and last place of a sentence; base: of all tokens."""

    first: float
    last: float
    base: float


@dataclass(frozen=True)
class Neighbors:
    """The features before and after, in the list that the feature was opened from."""

    list_href: str
    list_name: str
    before: int | None
    before_href: str
    after: int | None
    after_href: str
    random_href: str


@dataclass(frozen=True)
class SharedValue:
    """A value of a metadata field that n of the strongest examples have; href: the other features about it."""

    field: str
    value: str
    n: int
    of: int
    href: str


@dataclass(frozen=True)
class FeaturePage:
    """intervals: empty where the shown group is none. scale: what full strength stands for, None: each sentence's.

    shared: what many of the strongest examples have in common, where all are shown.
    n_missing: examples that would be shown here, and whose sentences a damaged database has lost.
    """

    dictionary: Dictionary
    feature: Feature
    labelling: Labelling
    chart: Chart | None
    bars: Sequence[Choice]
    tabs: Sequence[Choice]
    intervals: Sequence[IntervalTab]
    group: Group
    explanation: str
    shared: Sequence[SharedValue]
    view: View
    views: Sequence[Choice]
    spaces: Sequence[Choice]
    heats: Sequence[Choice]
    scale: float | None
    examples: Sequence[ShownExample]
    n_missing: int
    is_first: bool
    next_href: str | None
    ends: Ends | None
    times: Chart | None
    metadata: Sequence[tuple[str, Sequence[MetadataShare]]]
    neighbors: Neighbors
    unavailable: str | None


@router.get("/dictionaries/{dictionary_id}/features/{index}")
@kept
def show_feature(
    dictionary_id: str,
    index: int,
    session: ReadSession,
    models: Models,
    state: AskedState,
    labeller: AskedLabeller,
    cursor: str | None = None,
) -> HTMLResponse:
    dictionary = get_dictionary(session, dictionary_id)
    feature = get_feature(session, dictionary, index, ALIKE)
    labels = [] if feature.label is None else list_labels(session, dictionary, index)  # one of them is its name
    labelling, metadata = labeller.labelling(session, dictionary, index, labels), _by_field(feature.metadata)
    asked = (session, dictionary, index, state.group, cursor or None)
    examples, counts, n_missing = list_and_count_examples(
        *asked, FULL_EXAMPLES if state.view is View.FULL else EXAMPLES
    )
    shown_examples = fitting(
        [shown(e, state.view, state.spaces is Spaces.SHOWN) for e in examples.items],
        MOST_EXAMPLES - FIELD * len(metadata) - LABEL * len(labelling.labels),
    )
    if len(shown_examples) < len(examples.items):  # the next page begins sooner
        examples, counts, n_missing = list_and_count_examples(*asked, len(shown_examples))
    return render(
        "feature.html",
        FeaturePage(
            dictionary=dictionary,
            feature=feature,
            labelling=labelling,
            chart=activation_chart(feature.histogram, feature.n_active_tokens, state.bars is Bars.LOG),
            bars=state.choices(dictionary, index, "bars", BARS),
            tabs=_tabs(dictionary, index, counts, state),
            intervals=_intervals(dictionary, feature, counts, state),
            group=state.group,
            explanation=explain(state.group, feature, examples),
            shared=_shared(dictionary, feature, examples) if state.group is Group.TOP else [],
            view=state.view,
            views=state.choices(dictionary, index, "view", VIEWS),
            spaces=state.choices(dictionary, index, "spaces", SPACES),
            heats=state.choices(dictionary, index, "heat", HEATS),
            scale=feature.max_activation if state.heat is HeatScale.FEATURE else None,
            examples=shown_examples,
            n_missing=n_missing,
            is_first=not cursor,
            next_href=state.address(dictionary, index, cursor=examples.next) if examples.next else None,
            ends=_ends(dictionary, feature),
            times=sentence_chart(feature.per_sentence, feature.n_active_sentences),
            metadata=metadata,
            neighbors=_neighbors(session, dictionary, index, state),
            unavailable=models.unavailable(dictionary),
        ),
    )


def explain(group: Group, feature: Feature, examples: Slice[Example]) -> str:
    """Why these examples are shown, and what they were chosen from."""
    if group is Group.TOP:
        of = f" of {count(feature.n_active_sentences)}" if feature.n_active_sentences > examples.total else ""
        return f"The {examples.total}{of} sentences where it fires most, one peak a sentence."
    if group is Group.SILENT:
        return "Sentences where it never fires, drawn evenly."
    if group is Group.CONTRAST:
        token = f" ({feature.top_tokens[0].token.strip()!r})" if feature.top_tokens else ""
        return f"Sentences with the token it fires on most{token} where it stays silent all the same, drawn evenly."
    if not feature.intervals:
        return "It never fired, so there is nothing to draw from."
    interval = feature.intervals[INTERVAL_GROUPS.index(group)]
    part = interval.n_tokens / feature.n_active_tokens
    return (
        f"Drawn evenly from the {count(interval.n_sentences)} sentences that peak above {number(interval.low)} "
        f"and up to {number(interval.high)}; {share(part)} of its active tokens lie there."
    )


def _shared(dictionary: Dictionary, feature: Feature, examples: Slice[Example]) -> list[SharedValue]:
    """Of each field the commonest value, where as many examples have it as a topic takes (see topic_index.py)."""
    of = examples.total
    if not of or len(examples.items) < of:
        return []
    pairs = Counter((f, v) for e in examples.items for f, v in e.metadata.items() if isinstance(v, str) and v)
    base = {(row.field, row.value): row.base for row in feature.metadata}
    found: dict[str, SharedValue] = {}
    for (field, value), n in pairs.most_common():
        is_telling = n > 1 and n >= of * SHARE and n >= LIFT * of * base.get((field, value), 0.0)
        if is_telling and field not in found and len(value) <= LONGEST:
            asked = urlencode({"q": f'"{value}"', "dictionary": dictionary.id, "kind": "metadata"})
            found[field] = SharedValue(field, value, n, of, f"/search?{asked}")
    return list(found.values())


def _ends(dictionary: Dictionary, feature: Feature) -> Ends | None:
    """None where it never fired, or the index is from before they were counted."""
    if feature.n_first is None or feature.n_last is None or not feature.n_active_tokens:
        return None
    n = feature.n_active_tokens
    return Ends(feature.n_first / n, feature.n_last / n, dictionary.n_sentences / dictionary.n_tokens)


def _by_field(metadata: Sequence[MetadataShare]) -> list[tuple[str, list[MetadataShare]]]:
    return [(field, list(rows)) for field, rows in groupby(metadata, lambda row: row.field)]


def _tabs(dictionary: Dictionary, index: int, counts: Mapping[Group, int], state: FeatureState) -> list[Choice]:
    """The groups; the five intervals are one tab that opens at the strongest which has examples."""
    filled = [group for group in reversed(INTERVAL_GROUPS) if counts[group]]
    intervals = state.group if state.group in INTERVAL_GROUPS else filled[0] if filled else Group.INTERVAL_5
    tabs = (
        (Group.TOP, "Strongest", counts[Group.TOP]),
        (intervals, "By strength", sum(counts[group] for group in INTERVAL_GROUPS)),
        (Group.CONTRAST, "Contrast", counts[Group.CONTRAST]),
        (Group.SILENT, "Silent", counts[Group.SILENT]),
    )
    return [
        Choice(name, state.address(dictionary, index, group=group), group is state.group, count(n))
        for group, name, n in tabs
        if n or group is state.group
    ]


def _intervals(
    dictionary: Dictionary, feature: Feature, counts: Mapping[Group, int], state: FeatureState
) -> list[IntervalTab]:
    if state.group not in INTERVAL_GROUPS:
        return []
    return [
        IntervalTab(
            low=interval.low,
            high=interval.high,
            share=interval.n_tokens / feature.n_active_tokens,
            n=counts[group],
            href=state.address(dictionary, feature.index, group=group),
            is_current=group is state.group,
        )
        for group, interval in zip(INTERVAL_GROUPS, feature.intervals, strict=False)
    ]


def _neighbors(session: Session, dictionary: Dictionary, index: int, state: FeatureState) -> Neighbors:
    """Of the plain list, which is by index, they are known without asking."""
    form = read_among(state.among)
    if form.among:
        before, after = list_neighbors(session, dictionary, form.matching(), form.sort, index)
    else:
        before, after = (index - 1 if index > 0 else None), (index + 1 if index + 1 < dictionary.n_features else None)

    path = f"/dictionaries/{dictionary.id}"
    return Neighbors(
        list_href=form.address(path),
        list_name="in this list" if form.among else "by index",
        before=before,
        before_href=state.address(dictionary, before) if before is not None else "",
        after=after,
        after_href=state.address(dictionary, after) if after is not None else "",
        random_href=form.address(f"{path}/random"),
    )
