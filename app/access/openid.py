"""Signing in through OpenID Connect: the authorization code flow with PKCE, a state and a nonce, by Authlib.

OpenID Connect Core 1.0, RFC 7636. Authlib is an optional part: pip install 'featurescope[openid]'.
"""

import base64
import hmac
import json
import secrets
import threading
import time
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any

from app.errors import FeaturescopeError, Forbidden, Invalid, Unavailable
from app.settings import Settings

COOKIE = "featurescope_openid"
BACK = "/sign-in/openid/back"
MINUTES = 10  # that somebody may take at the provider
CLOCKS_DIFFER = 60  # seconds


@dataclass(frozen=True)
class Attempt:
    """One browser's way to the provider and back, kept in its cookie. next: where to go then."""

    state: str
    nonce: str
    verifier: str
    next: str
    began: float

    def to_cookie(self, key: bytes) -> str:
        text = base64.urlsafe_b64encode(json.dumps(asdict(self)).encode()).decode()
        return f"{text}.{_signature(key, text)}"


def read_attempt(key: bytes, cookie: str) -> Attempt:
    """Raises Forbidden where the cookie is not ours or too old."""
    text, _, signature = cookie.partition(".")
    if hmac.compare_digest(_signature(key, text).encode(), signature.encode("utf-8", "replace")):
        attempt = Attempt(**json.loads(base64.urlsafe_b64decode(text)))
        if time.time() - attempt.began < MINUTES * 60:
            return attempt
    raise Forbidden("This sign-in was not begun in this browser, or too long ago; begin it again.")


class OpenIdProvider:
    """Where people sign in. Its addresses and keys are asked for when the first one does."""

    def __init__(self, settings: Settings) -> None:
        check_openid(settings)
        self.settings = settings
        self.back = settings.public_url.rstrip("/") + BACK
        self._lock = threading.Lock()
        self._metadata: dict[str, Any] | None = None

    def begin(self, next: str) -> tuple[str, Attempt]:
        """The provider's address to send the browser to. Raises Unavailable."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        attempt = Attempt(state, nonce, verifier, next, time.time())
        with self._client() as client:
            address, _ = client.create_authorization_url(
                self._described()["authorization_endpoint"],
                state=attempt.state,
                nonce=attempt.nonce,
                code_verifier=attempt.verifier,
            )
        return str(address), attempt

    def finish(self, attempt: Attempt, state: str, code: str) -> str:
        """Who signed in, as the provider names them. Raises Forbidden, Unavailable."""
        if not hmac.compare_digest(attempt.state.encode(), state.encode("utf-8", "replace")):
            raise Forbidden("This sign-in was begun elsewhere; begin it again.")
        from authlib.integrations.base_client.errors import OAuthError
        from httpx import HTTPError
        from joserfc.errors import JoseError

        try:
            with self._client() as client:
                described = self._described()
                answer = client.fetch_token(described["token_endpoint"], code=code, code_verifier=attempt.verifier)
                claims = self._checked(answer, attempt.nonce)
                name = claims.get(self.settings.openid_claim)
                if name is None and "userinfo_endpoint" in described:
                    told = client.get(described["userinfo_endpoint"]).raise_for_status().json()
                    if told.get("sub") == claims["sub"]:
                        claims = {**claims, **told}
        except HTTPError as error:
            raise _unreachable() from error
        except (OAuthError, JoseError, ValueError, KeyError) as error:
            raise Forbidden("The OpenID provider's answer does not hold; begin the sign-in again.") from error
        return self._name(claims)

    def _checked(self, answer: dict[str, Any], nonce: str) -> dict[str, Any]:
        """The claims of the id token: signed by the provider, for us, now, and for this attempt."""
        import httpx
        from authlib.oidc.core import CodeIDToken
        from joserfc import jwt
        from joserfc.jwk import KeySet
        from joserfc.jws import JWSRegistry

        described = self._described()
        keys = KeySet.import_key_set(httpx.get(described["jwks_uri"], timeout=10).raise_for_status().json())
        # Only signatures by the provider's own keys: "none", and secrets that others know, are no signature.
        offered = described.get("id_token_signing_alg_values_supported", ["RS256"])
        algorithms = [name for name in offered if name[:2] in ("RS", "PS", "ES", "Ed")]
        token = jwt.decode(
            answer["id_token"], key=keys, registry=JWSRegistry(algorithms=algorithms, strict_check_header=False)
        )
        claims = CodeIDToken(
            token.claims,
            token.header,
            {
                "iss": {"essential": True, "values": [described["issuer"]]},
                "aud": {"essential": True, "values": [self.settings.openid_client]},
            },
            {"nonce": nonce, "client_id": self.settings.openid_client, "access_token": answer.get("access_token")},
        )
        claims.validate(leeway=CLOCKS_DIFFER)
        return dict(claims)

    def _name(self, claims: dict[str, Any]) -> str:
        claim = self.settings.openid_claim
        name = claims.get(claim)
        if not isinstance(name, str) or not name.strip():
            raise Forbidden(f"The OpenID provider does not say your {claim}; whoever runs this server chose that name.")
        if claim == "email" and claims.get("email_verified") is False:
            raise Forbidden("The OpenID provider has not verified your email address; verify it there first.")
        return name.strip()

    def _client(self) -> Any:
        from authlib.integrations.httpx_client import OAuth2Client

        return OAuth2Client(
            self.settings.openid_client,
            self.settings.openid_secret,
            scope="openid email profile",
            redirect_uri=self.back,
            code_challenge_method="S256",
            timeout=10,
        )

    def _described(self) -> dict[str, Any]:
        """The provider's own description of itself (OpenID Connect Discovery 1.0)."""
        import httpx

        with self._lock:
            if self._metadata is None:
                issuer = self.settings.openid_issuer
                try:
                    answer = httpx.get(issuer.rstrip("/") + "/.well-known/openid-configuration", timeout=10)
                    described: dict[str, Any] = answer.raise_for_status().json()
                except (httpx.HTTPError, ValueError) as error:
                    raise _unreachable() from error
                if str(described.get("issuer", "")).rstrip("/") != issuer.rstrip("/"):
                    raise Unavailable("The OpenID provider goes by another name than FEATURESCOPE_OPENID_ISSUER.")
                self._metadata = described
            return self._metadata


def check_openid(settings: Settings) -> None:
    """Raises Invalid for settings with which nobody could sign in."""
    if settings.access != "token":
        raise Invalid("FEATURESCOPE_OPENID_ISSUER is set: signing in through it takes --access token.")
    if not settings.public_url or not settings.openid_client:
        raise Invalid(
            "Signing in through OpenID Connect takes FEATURESCOPE_OPENID_CLIENT, FEATURESCOPE_OPENID_SECRET, and "
            f"--public-url; the provider must allow PUBLIC_URL{BACK} to be led back to."
        )
    if any(find_spec(package) is None for package in ("authlib", "httpx")):
        raise Invalid("OpenID Connect takes more packages: pip install 'featurescope[openid]'.")


def _signature(key: bytes, text: str) -> str:
    return hmac.new(key, b"openid:" + text.encode("utf-8", "replace"), "sha256").hexdigest()


def _unreachable() -> FeaturescopeError:
    return Unavailable("The OpenID provider cannot be reached; try again later, or sign in with a token.")
