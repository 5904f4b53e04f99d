"""What every JSON shape shares, and the shape of an error. Every number is finite; what was not measured is null."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


# Of a strict body: JSON has one kind of number, and 3.0 is 3 there.
Whole = Annotated[int, BeforeValidator(_whole)]
# To run: more than space, without NUL. What `json_schema_extra` says here the engine checks, in words of its own.
Text = Annotated[str, Field(json_schema_extra={"pattern": r"^[^\x00]*[^\s\x00][^\x00]*$"})]


class Shape(BaseModel):
    """Made from a domain object whose attributes have the same names; a NaN anywhere in it is an error."""

    model_config = ConfigDict(frozen=True, from_attributes=True, allow_inf_nan=False)


class Problem(Shape):
    """An error, as RFC 9457 has it. `detail` says what was wrong and what to do."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
