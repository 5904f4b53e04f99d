"""What the forms and links of the live pages share."""

from typing import Annotated, TypeAlias

from pydantic import BeforeValidator, Field

MOST_LINKS = 30_000  # bytes that a link for each token may take: each holds the whole text

# A number from 0 on, or nothing where the field was left empty.
NumberOrBlank: TypeAlias = Annotated[
    Annotated[int, Field(ge=0)] | None, BeforeValidator(lambda given: None if given == "" else given)
]
Given = BeforeValidator(lambda given: [one for one in given if one != ""])  # of fields of one name, those that were not


def fits_links(href: str, n_tokens: int) -> bool:
    """Whether each token, feature and order has a link; a longer text's page has its form alone to choose by.

    With links such a page would grow with the square of its text.
    """
    return len(href) * n_tokens <= MOST_LINKS
