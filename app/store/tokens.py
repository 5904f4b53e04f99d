"""API tokens: made, found by their secret, listed and revoked. The secret itself is never stored."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import Slice
from app.errors import Invalid, NotFound
from app.roles import Role, Token
from app.store.access_tables import TokenRow
from app.store.paged import read_page

PREFIX = "fscope_"  # so that scanners for leaked secrets know one when they see it
USED_AGAIN = timedelta(minutes=1)  # a use is noted at most this often
MAX_NAME = 100


def create_token(
    session: Session, name: str, role: Role, dictionaries: Mapping[str, Role], expires_at: datetime | None
) -> tuple[Token, str]:
    """A new token, and its secret, which cannot be had again. Raises Invalid."""
    secret = PREFIX + secrets.token_urlsafe(32)
    row = TokenRow(
        hash=hash_secret(secret),
        name=checked_name(name),
        role=role.value,
        dictionaries={id: given.value for id, given in dictionaries.items()},
        created_at=datetime.now(UTC),
        expires_at=expires_at,
        last_used_at=None,
        revoked_at=None,
    )
    session.add(row)
    session.flush()
    return to_token(row), secret


def find_token(session: Session, secret: str) -> Token | None:
    """The token of this secret, whatever its state."""
    row = session.scalar(select(TokenRow).where(TokenRow.hash == hash_secret(secret)))
    return to_token(row) if row is not None else None


def get_token(session: Session, id: int) -> Token:
    """Raises NotFound."""
    return to_token(_row(session, id))


def list_tokens(session: Session) -> list[Token]:
    """Every token, the newest first."""
    return [to_token(row) for row in session.scalars(select(TokenRow).order_by(TokenRow.id.desc()))]


def page_of_tokens(session: Session, cursor: str | None, limit: int) -> Slice[Token]:
    """The same, a page at a time. Raises Invalid for a cursor of another list."""
    page = read_page(session, select(TokenRow), TokenRow.id, int, cursor, limit, is_descending=True)
    return replace(page, items=[to_token(row) for row in page.items])


def revoke_token(session: Session, id: int) -> Token:
    """It is good for nothing from now on, and browsers that signed in with it are signed out. Raises NotFound."""
    row = _row(session, id)
    row.revoked_at = row.revoked_at or datetime.now(UTC)
    session.flush()
    return to_token(row)


def note_use(session: Session, id: int, now: datetime) -> None:
    """Raises NotFound."""
    _row(session, id).last_used_at = now


def was_used_just_now(token: Token, now: datetime) -> bool:
    return token.last_used_at is not None and now - token.last_used_at < USED_AGAIN


def hash_secret(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def checked_name(name: str) -> str:
    """The name without the space around it. Raises Invalid."""
    kept = name.strip()
    if not kept or len(kept) > MAX_NAME or not kept.isprintable():
        raise Invalid(f"A name is one line of 1 to {MAX_NAME} characters, and {name[:MAX_NAME]!r} is none.")
    return kept


def to_token(row: TokenRow) -> Token:
    return Token(
        name=row.name,
        role=Role(row.role),
        dictionaries={id: Role(role) for id, role in row.dictionaries.items()},
        created_at=row.created_at,
        id=row.id,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )


def _row(session: Session, id: int) -> TokenRow:
    row = session.get(TokenRow, id) if 0 < id < 2**31 else None
    if row is None:
        raise NotFound(f"There is no token {id}.")
    return row
