"""One feature: its examples by group, statistics, logits, neighbours and labels."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from app.access.routes import needs
from app.domain import INTERVAL_GROUPS, Dictionary, Example, Feature, Group, Label, Slice
from app.pages.charts import Chart, activation_chart
from app.pages.filters import count, number, share
from app.pages.snippets import ShownExample, View, shown
from app.pages.web import Models, ReadSession, render
from app.roles import Role
from app.store.dictionaries import get_dictionary
from app.store.examples import count_examples, list_examples
from app.store.features import get_feature
from app.store.labels import list_labels

router = APIRouter(dependencies=[needs(Role.READ)])
IN_A_GROUP = 50
VALUES = 5  # metadata values of one field that are shown
NAMES = {
    Group.TOP: "Strongest",
    Group.INTERVAL_5: "Strong fifth",
    Group.INTERVAL_4: "4",
    Group.INTERVAL_3: "3",
    Group.INTERVAL_2: "2",
    Group.INTERVAL_1: "Weak fifth",
    Group.CONTRAST: "Contrast",
    Group.SILENT: "Silent",
}


@dataclass(frozen=True)
class Tab:
    """One group of examples as a link."""

    group: Group
    name: str
    n: int
    href: str
    is_current: bool


@dataclass(frozen=True)
class MetadataShare:
    """`n` of the top examples have this value, `share` of them."""

    field: str
    value: str
    n: int
    share: float


@dataclass(frozen=True)
class FeaturePage:
    dictionary: Dictionary
    feature: Feature
    labels: Sequence[Label]
    chart: Chart | None
    tabs: Sequence[Tab]
    group: Group
    explanation: str
    view: View
    other_view_href: str
    examples: Sequence[ShownExample]
    metadata: Sequence[MetadataShare]
    n_top: int
    before: int | None
    after: int | None
    unavailable: str | None


@router.get("/dictionaries/{dictionary_id}/features/{index}")
def show_feature(
    dictionary_id: str,
    index: int,
    session: ReadSession,
    models: Models,
    group: Group = Group.TOP,
    view: View = View.SNIPPET,
) -> HTMLResponse:
    dictionary = get_dictionary(session, dictionary_id)
    feature = get_feature(session, dictionary, index)
    top = list_examples(session, dictionary, index, Group.TOP, None, IN_A_GROUP)
    examples = top if group is Group.TOP else list_examples(session, dictionary, index, group, None, IN_A_GROUP)
    counts = count_examples(session, dictionary, index)
    return render(
        "feature.html",
        FeaturePage(
            dictionary=dictionary,
            feature=feature,
            labels=list_labels(session, dictionary, index),
            chart=activation_chart(feature.histogram, feature.n_active_tokens),
            tabs=_tabs(dictionary, index, counts, group, view),
            group=group,
            explanation=explain(group, feature, examples),
            view=view,
            other_view_href=address(dictionary, index, group, View.FULL if view is View.SNIPPET else View.SNIPPET),
            examples=[shown(example, view) for example in examples.items],
            metadata=metadata_shares(top.items),
            n_top=len(top.items),
            before=index - 1 if index > 0 else None,
            after=index + 1 if index + 1 < dictionary.n_features else None,
            unavailable=models.unavailable(dictionary),
        ),
    )


def address(dictionary: Dictionary, index: int, group: Group, view: View) -> str:
    """The page's address in this state; what is the default is left out."""
    asked = [f"group={group}"] if group is not Group.TOP else []
    asked += [f"view={view}"] if view is not View.SNIPPET else []
    return f"/dictionaries/{dictionary.id}/features/{index}" + ("?" + "&".join(asked) if asked else "")


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


def metadata_shares(examples: Sequence[Example]) -> list[MetadataShare]:
    """For each field of the sentences' metadata the most frequent values; fields that only number are left out."""
    values: dict[str, Counter[str]] = {}
    for example in examples:
        for field, value in example.metadata.items():
            if isinstance(value, str | bool) and str(value).strip():
                values.setdefault(field, Counter())[str(value)] += 1
    return [
        MetadataShare(field, value, n, n / len(examples))
        for field, counter in values.items()
        if len(counter) < len(examples) or len(examples) == 1
        for value, n in counter.most_common(VALUES)
    ]


def _tabs(dictionary: Dictionary, index: int, counts: Mapping[Group, int], current: Group, view: View) -> list[Tab]:
    return [
        Tab(group, name, counts[group], address(dictionary, index, group, view), group is current)
        for group, name in NAMES.items()
        if counts[group] or group is current
    ]
