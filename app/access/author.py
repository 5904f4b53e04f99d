"""Who a label is by: the person who is signed in, or the name that somebody gives who need not sign in."""

from app.errors import Invalid
from app.roles import Person


def author_of(person: Person, given: str | None) -> str:
    """Raises Invalid where nobody has said who they are."""
    author = person.name or (given or "").strip()
    if not author:
        raise Invalid("The author is missing: say who you are, so that others know whose label it is.")
    return author
