"""Choices between a few ways to show something, as links: the address is the state."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """One of them; note: a number or a few words that belong to it."""

    name: str
    href: str
    is_current: bool
    note: str = ""
