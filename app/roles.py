"""Who somebody is and what they may do: read, label, administer; over everything, or over one dictionary."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from app.errors import Invalid


class Role(StrEnum):
    """What a route asks for, and what a person has. Each of NOBODY to ADMIN includes those before it."""

    ANYONE = "anyone"  # asked for by a route that is open to all: signing in, health
    NOBODY = "nobody"  # had by somebody who may do nothing
    READ = "read"
    LABEL = "label"
    ADMIN = "admin"
    METRICS = "metrics"  # reads /metrics and nothing else; an admin may too

    def includes(self, asked: "Role") -> bool:
        """Whether somebody of this role may do what asks for that one."""
        if asked is Role.ANYONE or self is asked:
            return asked is not Role.NOBODY
        if asked is Role.METRICS:
            return self is Role.ADMIN
        return self is not Role.METRICS and _ORDER.index(self) >= _ORDER.index(asked)


_ORDER = (Role.ANYONE, Role.NOBODY, Role.READ, Role.LABEL, Role.ADMIN)


class How(StrEnum):
    """How a request says who sent it. Only a browser sends its cookie or a proxy's header for a page that lied to it,
    so only a bearer token needs no protection against forged forms."""

    OPEN = "open"
    BEARER = "bearer"
    SESSION = "session"
    PROXY = "proxy"


@dataclass(frozen=True)
class Person:
    """name: None where nobody has said who they are. role: over every dictionary that is not private.

    dictionaries: roles over single ones, by id; what stands there wins over `role`, for more and for less.
    changes_nothing: whether the server only shows, so that no role is enough for what stores something.
    """

    name: str | None
    role: Role
    how: How
    dictionaries: Mapping[str, Role] = field(default_factory=dict, hash=False)
    changes_nothing: bool = False

    @property
    def is_admin(self) -> bool:
        return self.may(Role.ADMIN)

    def may(self, asked: Role, dictionary_id: str | None = None) -> bool:
        """Whether this person may do what asks for a role, in one dictionary where one is named."""
        if self.changes_nothing and asked in (Role.LABEL, Role.ADMIN):
            return False
        if self.role is Role.ADMIN:
            return True
        if asked is Role.READ:
            # What may not be read is not there for them (see store/visible.py), rather than refused: a refusal
            # would say that it exists.
            return any(role.includes(Role.READ) for role in (self.role, *self.dictionaries.values()))
        if dictionary_id is not None:
            return self.dictionaries.get(dictionary_id, self.role).includes(asked)
        return self.role.includes(asked)


@dataclass(frozen=True)
class Grant:
    """Whom roles were given to: somebody by name, or whoever holds a token. Roles as Person has them."""

    name: str
    role: Role
    dictionaries: Mapping[str, Role]
    created_at: datetime


@dataclass(frozen=True)
class Token(Grant):
    """A token without its secret, which is shown once and kept as a hash. Times are None where they never come."""

    id: int
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    def state(self, now: datetime) -> str:
        """good, expired or revoked."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "good"


OWNER = Person(None, Role.ADMIN, How.OPEN)  # whoever sits at this machine
STRANGER = Person(None, Role.NOBODY, How.OPEN)


def parse_role(text: str) -> Role:
    """A role that somebody can be given. Raises Invalid."""
    given = [role for role in Role if role is not Role.ANYONE]
    if text not in given:
        raise Invalid(f"There is no role {text!r}; there are {', '.join(given)}.")
    return Role(text)


def parse_roles(text: str) -> dict[str, Role]:
    """Roles over single dictionaries, written as "demo=label private-one=read". Raises Invalid."""
    roles = {}
    for part in text.replace(",", " ").split():
        id, equals, role = part.partition("=")
        if not id or not equals:
            raise Invalid(f"{part!r} is no role over a dictionary; write ID=ROLE, such as demo=label.")
        roles[id] = parse_role(role)
    return roles
