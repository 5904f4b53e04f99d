"""Tokens that forms carry: only a page of ours, in the same browser, could have read one."""

import hashlib
import hmac


def make_form_key(server_key: bytes, session: str) -> bytes:
    """What one sign-in's tokens are made with; another's, and an earlier sign-in's, differ."""
    return hmac.new(server_key, b"form:" + session.encode(), hashlib.sha256).digest()


def make_form_token(form_key: bytes, drawn: str) -> str:
    """drawn: any letters and digits; tokens that differ in them are all good."""
    return f"{drawn}.{_mark(form_key, drawn)}"


def is_form_token(form_key: bytes, given: str) -> bool:
    drawn, _, mark = given.partition(".")
    return hmac.compare_digest(_mark(form_key, drawn).encode(), mark.encode("utf-8", "replace"))


def _mark(form_key: bytes, drawn: str) -> str:
    return hmac.digest(form_key, drawn.encode("utf-8", "replace"), "sha256").hex()[:40]
