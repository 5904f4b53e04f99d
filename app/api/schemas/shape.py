"""What every JSON shape shares, and the shape of an error. Every number is finite; what was not measured is null."""

from pydantic import BaseModel, ConfigDict


class Shape(BaseModel):
    """Made from a domain object whose attributes have the same names; a NaN anywhere in it is an error."""

    model_config = ConfigDict(frozen=True, from_attributes=True, allow_inf_nan=False)


class Problem(Shape):
    """An error, as RFC 9457 has it. `detail` says what was wrong and what to do."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
