"""Domain errors: raised where they occur, turned into a page, problem+json or an exit code in one place each."""

from collections.abc import Mapping


class FeaturescopeError(Exception):
    """What went wrong and what to do about it, in words for the person who asked."""


class NotFound(FeaturescopeError):
    """What was asked for does not exist; the message says what does."""


class Invalid(FeaturescopeError):
    """The input cannot be used; the message names what was wrong with it."""


class Conflict(FeaturescopeError):
    """The input is fine, but what is stored already stands in its way."""


class BadLines(Invalid):
    """Lines of a file that cannot be used; nothing of it is taken. faults: what is wrong, by line."""

    def __init__(self, faults: Mapping[int, str]) -> None:
        lines = "line" if len(faults) == 1 else "lines"
        named = "; ".join(f"line {number}: {fault}" for number, fault in sorted(faults.items()))
        super().__init__(f"Nothing is imported: {len(faults):,} {lines} cannot be used. {named}.")
        self.faults = faults


class VersionMissing(Invalid):
    """A change that does not say which version of a thing it changes."""


class LostUpdate(Conflict):
    """Somebody else has changed the label meanwhile. mine, theirs: both texts; version: the one that theirs has."""

    def __init__(self, mine: str, theirs: str, by: str, version: int) -> None:
        super().__init__(
            f"{by} has changed the label meanwhile. It now reads {theirs!r}"
            + (f"; yours reads {mine!r}." if mine else ".")
            + " Nothing is stored: look at both, and send yours again for the new version if it is still right."
        )
        self.mine = mine
        self.theirs = theirs
        self.by = by
        self.version = version


class Busy(FeaturescopeError):
    """Nothing is wrong: try again later. retry_after: seconds."""

    def __init__(self, message: str, retry_after: int = 5) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(FeaturescopeError):
    """A part that this needs is switched off or gone (no model is served, its folder has moved)."""


class NotSignedIn(FeaturescopeError):
    """Only somebody who has said who they are may do this."""


class Forbidden(FeaturescopeError):
    """Who asks may not do this; the message says what it would take."""


class FullDisk(FeaturescopeError):
    """There is no room to store it; what was stored is kept, and it works again once there is."""


class TooMany(FeaturescopeError):
    """Asked for more often than is allowed. retry_after: seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after
