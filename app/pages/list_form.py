"""The filters of a dictionary's list as a form sends them: every field a text, an empty one asking nothing."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, Query

from app.errors import Invalid
from app.store.features import FeatureFilter

Field = Annotated[str, Query(max_length=200)]
_CHOICES = {"": None, "yes": True, "no": False}


@dataclass(frozen=True)
class ListForm:
    """min_density, max_density: in per cent, as the page shows them."""

    q: str = ""
    token: str = ""
    promotes: str = ""
    min_density: str = ""
    max_density: str = ""
    min_max_activation: str = ""
    alive: str = ""
    labelled: str = ""

    @property
    def is_empty(self) -> bool:
        return self == ListForm()

    @property
    def n_more(self) -> int:
        """How many of the fields behind "more filters" are in use."""
        return sum(bool(getattr(self, field.name)) for field in fields(self) if field.name != "q")

    def matching(self) -> FeatureFilter:
        """Raises Invalid for a field that cannot be read."""
        return FeatureFilter(
            q=self.q.strip() or None,
            token=self.token or None,
            promotes=self.promotes or None,
            min_density=_number("The lowest density", self.min_density, 100, 100),
            max_density=_number("The highest density", self.max_density, 100, 100),
            min_max_activation=_number("The lowest maximum", self.min_max_activation, 1, math.inf),
            alive=_choice("alive", self.alive),
            labelled=_choice("labelled", self.labelled),
        )

    def address(self, path: str, **more: str) -> str:
        """The list's address with these filters and `more` (sort, cursor); what is empty is left out."""
        given = {name: value for name, value in {**asdict(self), **more}.items() if value}
        return f"{path}?{urlencode(given)}" if given else path


def read_list_form(
    q: Field = "",
    token: Field = "",
    promotes: Field = "",
    min_density: Field = "",
    max_density: Field = "",
    min_max_activation: Field = "",
    alive: Field = "",
    labelled: Field = "",
) -> ListForm:
    return ListForm(q, token, promotes, min_density, max_density, min_max_activation, alive, labelled)


AskedList = Annotated[ListForm, Depends(read_list_form)]


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
