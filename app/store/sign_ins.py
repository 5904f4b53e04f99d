"""Browsers that are signed in, and the key that their cookies are signed with."""

import secrets
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.orm import Session

from app.store.access_tables import ServerKeyRow, SignInRow
from app.store.tokens import hash_secret

_KEY = "cookies"


def begin_sign_in(session: Session, token: int | None, person: str | None, days: int) -> str:
    """What the cookie holds. Sign-ins that are over are cleared away."""
    now = datetime.now(UTC)
    session.execute(delete(SignInRow).where(SignInRow.expires_at <= now))
    secret = secrets.token_urlsafe(32)
    row = SignInRow(hash=hash_secret(secret), token=token, person=person, expires_at=now + timedelta(days=days))
    session.add(row)
    return secret


def find_sign_in(session: Session, secret: str) -> tuple[int | None, str | None] | None:
    """The token or the person that signed in, None where nobody did or it is over."""
    row = session.get(SignInRow, hash_secret(secret))
    if row is None or row.expires_at <= datetime.now(UTC):
        return None
    return row.token, row.person


def end_sign_in(session: Session, secret: str) -> None:
    row = session.get(SignInRow, hash_secret(secret))
    if row is not None:
        session.delete(row)


def find_server_key(session: Session) -> bytes | None:
    row = session.get(ServerKeyRow, _KEY)
    return row.value if row is not None else None


def make_server_key(session: Session) -> bytes:
    """Made once for a database; whoever comes second finds the first one's."""
    found = find_server_key(session)
    if found is None:
        found = secrets.token_bytes(32)
        session.add(ServerKeyRow(name=_KEY, value=found))
    return found
