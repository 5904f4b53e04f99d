"""A database's own errors, put into words: what is wrong, and what to do about it."""

from app.errors import Busy, FeaturescopeError, FullDisk, Invalid, Unavailable

_LOST = "The database cannot be reached just now; what was stored is safe. Try again in a moment."


def describe_failure(name: str, failure: BaseException | None) -> FeaturescopeError | None:
    """name: what the message calls the database. None: an error that nobody foresaw."""
    code = getattr(failure, "sqlstate", None)
    if code is not None:
        return _by_code(name, code)
    return _by_text(name, str(failure))


def _by_code(name: str, code: str) -> FeaturescopeError | None:
    """PostgreSQL's SQLSTATE (appendix A of its manual)."""
    match code:
        case "55P03" | "40P01" | "40001":
            return _locked(name)
        case "53100":
            return _full(name)
        case "25006" | "42501":
            return Unavailable(f"{name} can only be read here: give this program's role the right to write to it.")
        case "53300":
            return Busy(f"{name} takes no more connections; try again, or raise its max_connections.")
        case "57014":
            return _stopped(name)
        case _ if code.startswith("22"):
            return Invalid("A value of the request cannot be compared with what is stored: it is out of range.")
        case _ if code.startswith(("08", "57P")):
            return Unavailable(_LOST)
    return None


def _by_text(name: str, what: str) -> FeaturescopeError | None:
    """SQLite's errors, and PostgreSQL's where there is no connection to name a code."""
    text = what.lower()
    if text == "interrupted":
        return _stopped(name)
    if "is locked" in text:
        return _locked(name)
    if "full" in text and ("disk" in text or "device" in text):
        return _full(name)
    if "readonly" in text or "read-only" in text:
        return Unavailable(f"{name} can only be read here: allow writing to it and to its folder.")
    if "not a database" in text:
        return Invalid(f"{name} is not a database; give another path with --db, or move that file away.")
    if "malformed" in text:
        return Invalid(f"The database {name} is damaged ({what}); restore it from a copy, or index again.")
    if "unable to open" in text or "disk i/o" in text:
        return Unavailable(f"{name} cannot be opened ({what}): is its folder there, writable and not full?")
    if "nul (0x00)" in text:
        return Invalid("The text holds the character NUL (U+0000), which nothing that is stored here holds.")
    if "authentication failed" in text or "no password supplied" in text:
        return Invalid(f"{name} refuses this user or password; check the URL given with --db.")
    if "database" in text and "does not exist" in text:
        return Invalid(f"{name} does not exist; make it first (createdb), or check the URL given with --db.")
    if "too many clients" in text or "connection slots" in text:
        return Busy(f"{name} takes no more connections; try again, or raise its max_connections.")
    if "connection" in text or "starting up" in text or "shutting down" in text or "resolve host" in text:
        return Unavailable(_LOST)
    return None


def _locked(name: str) -> Busy:
    return Busy(f"The database {name} is locked by another process; try again when that has finished.")


def _stopped(name: str) -> Busy:
    return Busy(f"{name} took too long to answer and was stopped; ask for less (a filter, fewer words), or try again.")


def _full(name: str) -> FullDisk:
    return FullDisk(f"The disk of {name} is full; make room and try again. Nothing stored is lost.")
