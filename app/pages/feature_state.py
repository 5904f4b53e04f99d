"""How a feature's page is looked at, as its address says it: which examples, shown how, and from which list."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends
from pydantic import StringConstraints

from app.domain import Dictionary, Group
from app.pages.choices import Choice
from app.pages.snippets import View
from app.serving import query_as


class Spaces(StrEnum):
    PLAIN = "plain"
    SHOWN = "shown"


class HeatScale(StrEnum):
    """What the full strength of the heat stands for: the feature's maximum, or each sentence's."""

    FEATURE = "feature"
    SENTENCE = "sentence"


class Bars(StrEnum):
    """The scale of a histogram's heights."""

    LINEAR = "linear"
    LOG = "log"


@dataclass(frozen=True)
class FeatureState:
    """among: the list that the feature was opened from (see list_form.read_among)."""

    group: Group = Group.TOP
    view: View = View.SNIPPET
    spaces: Spaces = Spaces.PLAIN
    heat: HeatScale = HeatScale.FEATURE
    bars: Bars = Bars.LINEAR
    among: Annotated[str, StringConstraints(max_length=2500)] = ""

    def address(self, dictionary: Dictionary, index: int, **changed: str) -> str:
        """The page in this state with some of it changed, or more (cursor) added; what is the default is left out."""
        values = self._own | changed
        said = {name: value for name, value in values.items() if value and value != _DEFAULTS.get(name)}
        return f"/dictionaries/{dictionary.id}/features/{index}{_query(tuple(said.items()))}"

    @cached_property
    def _own(self) -> dict[str, str]:
        """What it says itself. Read once: a page writes two dozen addresses."""
        values = {name: str(getattr(self, name)) for name in _DEFAULTS}
        return {name: value for name, value in values.items() if value != _DEFAULTS[name]}

    def choices(self, dictionary: Dictionary, index: int, name: str, names: Mapping[Any, str]) -> list[Choice]:
        """The values of one field as links."""
        current = getattr(self, name)
        return [
            Choice(shown, self.address(dictionary, index, **{name: value}), value == current)
            for value, shown in names.items()
        ]


@lru_cache(maxsize=1024)
def _query(said: tuple[tuple[str, str], ...]) -> str:
    """The same few on every feature's page."""
    return "?" + urlencode(said) if said else ""


_DEFAULTS = {field.name: str(field.default) for field in fields(FeatureState)}
AskedState = Annotated[FeatureState, Depends(query_as(FeatureState))]
