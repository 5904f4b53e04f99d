"""The tables of who may do what, and of what was done."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.store.tables import Base


class PersonRow(Base):
    """Roles of somebody whom OpenID Connect or a proxy names. dictionaries: roles over single ones, by id."""

    __tablename__ = "people"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    role: Mapped[str] = mapped_column(String(20))
    dictionaries: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class TokenRow(Base):
    """hash: SHA-256 of the token. A token is 256 random bits, so nothing slower is needed against guessing."""

    __tablename__ = "tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    role: Mapped[str] = mapped_column(String(20))
    dictionaries: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]

    __table_args__ = ({"sqlite_autoincrement": True},)


class SignInRow(Base):
    """A browser that is signed in: by a token, or as somebody. hash: SHA-256 of what its cookie holds."""

    __tablename__ = "sign_ins"

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    token: Mapped[int | None]
    person: Mapped[str | None] = mapped_column(String(200))
    expires_at: Mapped[datetime]


class PrivateDictionaryRow(Base):
    """An id that only those see who were given a role over it; it outlives the build, as labels do."""

    __tablename__ = "private_dictionaries"

    id: Mapped[str] = mapped_column(String(100), primary_key=True)


class AuditRow(Base):
    """One request that stored something. changes: what it did to which rows."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    who: Mapped[str] = mapped_column(Text)
    how: Mapped[str] = mapped_column(String(20))
    request: Mapped[str] = mapped_column(Text)
    changes: Mapped[list[Any]]

    __table_args__ = (Index("audit_by_who", "who"), {"sqlite_autoincrement": True})


class ServerKeyRow(Base):
    """Random bytes that cookies and forms are signed with, the same for every process on this database."""

    __tablename__ = "server_keys"

    name: Mapped[str] = mapped_column(String(20), primary_key=True)
    value: Mapped[bytes] = mapped_column(LargeBinary)
