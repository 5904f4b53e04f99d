"""A dictionary's list as its address says it: filters as a form sends them, the sort, and how rows are shown."""

import math
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode

from fastapi import Depends
from pydantic import StringConstraints

from app.errors import Invalid
from app.serving import query_as
from app.store.feature_list import NO_FILTER, FeatureFilter
from app.store.feature_order import Sort

Field = Annotated[str, StringConstraints(max_length=200)]
_CHOICES = {"": None, "yes": True, "no": False}
_PLAIN = {"sort": Sort.INDEX.value, "view": "table"}  # what an address need not say
_FILTERS = tuple(field.name for field in fields(FeatureFilter))


class ListView(StrEnum):
    TABLE = "table"
    CARDS = "cards"


@dataclass(frozen=True)
class ListForm:
    """Every filter a text, an empty one asking nothing. min_density, max_density: in per cent, as pages show it."""

    q: Field = ""
    token: Field = ""
    promotes: Field = ""
    about: Field = ""
    min_density: Field = ""
    max_density: Field = ""
    min_max_activation: Field = ""
    max_max_activation: Field = ""
    alive: Field = ""
    labelled: Field = ""
    sort: Sort = Sort.INDEX
    view: ListView = ListView.TABLE

    @property
    def is_empty(self) -> bool:
        return not any(getattr(self, name) for name in _FILTERS)

    @property
    def n_more(self) -> int:
        """How many of the fields behind "more filters" are in use."""
        return sum(bool(getattr(self, name)) for name in _FILTERS if name not in ("q", "about"))

    def matching(self) -> FeatureFilter:
        """Raises Invalid for a field that cannot be read."""
        low, high = (
            _number(f"The {which} density", text, 100, 100)
            for which, text in (("lowest", self.min_density), ("highest", self.max_density))
        )
        if low is not None and high is not None and low > high:
            raise Invalid(
                f"The lowest density, {100 * low:g} %, is above the highest, {100 * high:g} %: no feature fits."
            )
        return FeatureFilter(
            q=self.q.strip() or None,
            token=self.token or None,
            promotes=self.promotes or None,
            about=self.about.strip() or None,
            min_density=low,
            max_density=high,
            min_max_activation=_number("The lowest maximum", self.min_max_activation, 1, math.inf),
            max_max_activation=_number("The highest maximum", self.max_max_activation, 1, math.inf),
            alive=_choice("alive", self.alive),
            labelled=_choice("labelled", self.labelled),
        )

    def checked(self) -> tuple[FeatureFilter, str | None]:
        """The filter; where a field cannot be read, none, and what is wrong: the form is shown again with it."""
        try:
            return self.matching(), None
        except Invalid as error:
            return NO_FILTER, str(error)

    def address(self, path: str, **changed: str) -> str:
        """The list's address with some fields changed, or more (cursor) added; what says nothing is left out."""
        query = urlencode(self._said(**changed))
        return f"{path}?{query}" if query else path

    @property
    def among(self) -> str:
        """The list as one value, for the pages of features that were opened from it; empty for the plain list."""
        return urlencode(self._said(view=""))

    def _said(self, **changed: str) -> dict[str, str]:
        values = self._own | changed if changed else self._own
        return {name: value for name, value in values.items() if value and value != _PLAIN.get(name)}

    @cached_property
    def _own(self) -> dict[str, str]:
        """Read once: a page writes dozens of addresses."""
        return {field.name: str(getattr(self, field.name)) for field in fields(self)}


AskedList = Annotated[ListForm, Depends(query_as(ListForm))]


@lru_cache(maxsize=64)
def read_among(text: str) -> ListForm:
    """The list that `among` was made from. Raises Invalid for what is none.

    Kept for a few: most features are opened from the plain list, or one after the other from the same.
    """
    given: dict[str, Any] = dict(parse_qsl(text))
    sort = given.pop("sort", Sort.INDEX.value)
    if sort not in set(Sort) or not given.keys() <= set(_FILTERS):
        raise Invalid("The address names a list of features that cannot be read; open the feature from its list again.")
    return ListForm(**given, sort=Sort(sort))


def _number(name: str, text: str, unit: float, most: float) -> float | None:
    """A number from 0 to `most`, in `unit`s. A comma may stand for the point, a per cent sign behind."""
    cleaned = text.strip().removesuffix("%").strip().replace(",", ".")
    if not cleaned:
        return None
    try:
        value = float(cleaned)
    except ValueError:
        raise Invalid(f"{name} is {text!r}; it takes a number.") from None
    if not 0 <= value <= most or not math.isfinite(value):
        raise Invalid(f"{name} is {text!r}; it takes a number from 0" + (f" to {most}." if most < math.inf else " on."))
    return value / unit


def _choice(name: str, text: str) -> bool | None:
    if text not in _CHOICES:
        raise Invalid(f"{name} is {text!r}; it takes yes, no, or nothing.")
    return _CHOICES[text]
