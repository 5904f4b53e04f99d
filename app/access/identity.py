"""Who sends a request: found from a bearer token, a believed proxy's header, or the cookie of a browser's sign-in."""

import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime
from secrets import token_bytes
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from app.access.form_tokens import make_form_key
from app.access.limits import Limit
from app.access.openid import OpenIdProvider
from app.access.rule import client_address, is_proxy, networks, peer
from app.access.visit import Visit
from app.errors import Busy, NotSignedIn, Unavailable
from app.roles import OWNER, Grant, How, Person, Role, Token
from app.settings import Settings
from app.store.audit import audited
from app.store.people import find_person
from app.store.sign_ins import begin_sign_in, end_sign_in, find_server_key, find_sign_in, make_server_key
from app.store.tokens import find_token, get_token, note_use, was_used_just_now

if TYPE_CHECKING:
    from app.store.database import Database

SESSION_COOKIE = "featurescope_session"
FORM_COOKIE = "featurescope_form"  # of a browser that is not signed in: what the sign-in form's token hangs on
WRONG_TOKENS_SECONDS = 300.0  # over which as many wrong tokens are allowed again


class Doorkeeper:
    """One a server; made from its settings, and from the database once that is open."""

    def __init__(self, settings: Settings, database: "Database", key: bytes) -> None:
        self.settings = settings
        self.key = key
        self.proxies = networks(settings.proxies)
        wrong = settings.wrong_tokens
        self.failures = Limit("wrong tokens from your address", wrong, WRONG_TOKENS_SECONDS) if wrong else None
        self.live = Limit("live calls", settings.live_rate, 60.0) if settings.live_rate else None
        self.openid = OpenIdProvider(settings) if settings.openid_issuer else None
        self.cookie_path = f"{settings.root_path}/"
        self._database = database
        self._owner = Visit(OWNER, make_form_key(key, ""))

    async def visit(self, request: Request) -> Visit:
        """Raises NotSignedIn for a token that is no good, TooMany for too many of those."""
        if not self.settings.access and not self.settings.read_only:
            return self._owner  # this machine alone: no query, no thread
        if not any(name in request.headers for name in ("authorization", "cookie", self.settings.proxy_header)):
            return self._stranger(request)  # nor for who claims to be nobody
        return await run_in_threadpool(self._find, request)

    def token(self, secret: str, address: str) -> Token:
        """The token of this secret. Raises NotSignedIn where it is not good, TooMany for too many wrong ones.

        A good one is never refused for wrong ones from the same address: others may sit behind it.
        """
        with self._database.read() as session:
            found = find_token(session, secret)
        now = datetime.now(UTC)
        if found is None or found.state(now) != "good":
            if self.failures is not None:
                self.failures.take(address)
            state = "not known here" if found is None else found.state(now)
            raise NotSignedIn(f"The token is {state}; ask whoever runs this server for a new one.")
        self._note_use(found, now)
        return found

    def sign_in(self, request: Request, token: Token | None, name: str | None) -> str:
        """A new sign-in in the place of the one that the browser has: the cookie, which no page before could know."""
        with self._database.write() as session:
            before = self.signed(request.cookies.get(SESSION_COOKIE, ""))
            if before is not None:
                end_sign_in(session, before)
            who = Person(token.name if token is not None else name, Role.NOBODY, How.SESSION)
            with audited(session, who, "POST /sign-in"):
                secret = begin_sign_in(
                    session, token.id if token is not None else None, name, self.settings.sign_in_days
                )
        return self.sign(secret)

    def sign_out(self, request: Request) -> None:
        secret = self.signed(request.cookies.get(SESSION_COOKIE, ""))
        if secret is not None:
            with self._database.write() as session:
                end_sign_in(session, secret)

    def sign(self, secret: str) -> str:
        """The cookie of a sign-in."""
        return f"{secret}.{hmac.new(self.key, secret.encode(), hashlib.sha256).hexdigest()}"

    def signed(self, cookie: str) -> str | None:
        """What a cookie holds, None where this server did not sign it."""
        secret = cookie.partition(".")[0]
        good = hmac.compare_digest(self.sign(secret).encode(), cookie.encode("utf-8", "replace"))
        return secret if good else None

    def is_encrypted(self, request: Request) -> bool:
        """Whether the browser came by https, so that its cookies need never travel otherwise."""
        if self.settings.public_url.startswith("https://"):
            return True
        forwarded = request.headers.get("x-forwarded-proto") if is_proxy(peer(request), self.proxies) else None
        return (forwarded or request.url.scheme) == "https"

    def _find(self, request: Request) -> Visit:
        kind, _, secret = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            token = self.token(secret.strip(), client_address(request, self.proxies))
            return Visit(self._person(token, How.BEARER), b"")
        if self.settings.access == "proxy":
            name = request.headers.get(self.settings.proxy_header, "").strip()
            if name and is_proxy(peer(request), self.proxies):
                return Visit(self._named(name, How.PROXY), make_form_key(self.key, f"proxy {name}"))
        secret = self.signed(request.cookies.get(SESSION_COOKIE, "")) or ""
        person = self._signed_in(secret) if secret else None
        if person is not None:
            return Visit(person, make_form_key(self.key, secret))
        return self._stranger(request)

    def _stranger(self, request: Request) -> Visit:
        role = Role(self.settings.anonymous) if self.settings.access else Role.READ
        form_key = make_form_key(self.key, request.cookies.get(FORM_COOKIE, ""))
        return Visit(self._capped(Person(None, role, How.OPEN)), form_key, self.settings.access == "token")

    def _signed_in(self, secret: str) -> Person | None:
        with self._database.read() as session:
            found = find_sign_in(session, secret)
            if found is None:
                return None
            token_id, name = found
            token = get_token(session, token_id) if token_id is not None else None
        if token is not None:
            return self._person(token, How.SESSION) if token.state(datetime.now(UTC)) == "good" else None
        return self._named(name or "", How.SESSION)

    def _named(self, name: str, how: How) -> Person:
        with self._database.read() as session:
            grant = find_person(session, name)
        if grant is None:
            return self._capped(Person(name, Role(self.settings.newcomers), how))
        return self._person(grant, how)

    def _person(self, grant: Grant, how: How) -> Person:
        return self._capped(Person(grant.name, grant.role, how, grant.dictionaries))

    def _capped(self, person: Person) -> Person:
        """Where nothing may be changed, nobody has a role for it; an admin keeps seeing everything."""
        return replace(person, changes_nothing=self.settings.read_only)

    def _note_use(self, token: Token, now: datetime) -> None:
        if was_used_just_now(token, now):
            return
        try:
            with self._database.write() as session:
                note_use(session, token.id, now)
        except (Busy, Unavailable):
            pass  # a locked or unwritable database is no reason to turn a good token away


def server_key(database: "Database") -> bytes:
    """What cookies and forms are signed with: kept in the database, or this process's own where that cannot be
    written."""
    with database.read() as session:
        found = find_server_key(session)
    if found is not None:
        return found
    try:
        with database.write() as session:
            return make_server_key(session)
    except (Busy, Unavailable):
        return token_bytes(32)
