"""Cursors of paged lists: where the next page begins, bound to the list that they were made for."""

import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence

from app.errors import Invalid

_DIGEST = 8  # bytes
Place = Sequence[str | int | float | None]


def make_cursor(list_name: object, place: Place) -> str:
    """place: the sort values of the page's last row. list_name: anything whose repr tells this list from others."""
    body = json.dumps(place, ensure_ascii=False, separators=(",", ":")).encode()
    return urlsafe_b64encode(_digest(list_name, body) + body).decode().rstrip("=")


def read_cursor(list_name: object, cursor: str, *kinds: type | tuple[type, ...]) -> list[str | int | float | None]:
    """The place, as many values as kinds and of these. Raises Invalid for a cursor not made for this list."""
    try:
        raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        digest, body = raw[:_DIGEST], raw[_DIGEST:]
        if digest == _digest(list_name, body):
            place: list[str | int | float | None] = json.loads(body)
            if len(place) == len(kinds) and all(isinstance(v, k) for v, k in zip(place, kinds, strict=True)):
                return place
    except (ValueError, TypeError):
        pass
    raise Invalid("The cursor does not belong to this list (another sort, filter or group?); begin without one.")


def _digest(list_name: object, body: bytes) -> bytes:
    return hashlib.blake2b(repr(list_name).encode() + b"\0" + body, digest_size=_DIGEST).digest()
