"""Who somebody is and what they may do: read, label, administer; over everything, or over one dictionary."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


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
    """

    name: str | None
    role: Role
    how: How
    dictionaries: Mapping[str, Role] = field(default_factory=dict)

    def may(self, asked: Role, dictionary_id: str | None = None) -> bool:
        """Whether this person may do what asks for a role, in one dictionary where one is named."""
        if self.role is Role.ADMIN:
            return True
        if dictionary_id is not None:
            return self.dictionaries.get(dictionary_id, self.role).includes(asked)
        return self.role.includes(asked) or (
            # A list of everything may be read by who may read anything: it shows no more than that.
            asked is Role.READ and any(role.includes(Role.READ) for role in self.dictionaries.values())
        )


OWNER = Person(None, Role.ADMIN, How.OPEN)  # whoever sits at this machine
STRANGER = Person(None, Role.NOBODY, How.OPEN)
