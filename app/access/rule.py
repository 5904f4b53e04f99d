"""The access rule that a server is started with: open, for reading alone, with tokens, or behind a proxy that says who.

Open and writable is for this machine alone. Bound elsewhere without a rule, the server refuses to start.
"""

import ipaddress
import re
from collections.abc import Sequence
from typing import TypeAlias
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from app.access.openid import check_openid
from app.errors import Invalid
from app.roles import Role
from app.settings import Settings

Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"


def check_access(settings: Settings) -> None:
    """Raises Invalid where the settings would let in who should not be, or say what cannot be."""
    if settings.access not in ("", "token", "proxy"):
        raise Invalid(f"--access takes token or proxy, not {settings.access!r}.")
    if settings.anonymous not in (Role.NOBODY, Role.READ):
        raise Invalid(f"FEATURESCOPE_ANONYMOUS takes nobody or read, not {settings.anonymous!r}.")
    if settings.newcomers not in (Role.NOBODY, Role.READ, Role.LABEL):
        raise Invalid(f"FEATURESCOPE_NEWCOMERS takes nobody, read or label, not {settings.newcomers!r}.")
    networks(settings.proxies)
    if settings.openid_issuer:
        check_openid(settings)
    if settings.root_path and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", settings.root_path):
        raise Invalid(f"--root-path is a path such as /featurescope, not {settings.root_path!r}.")
    if settings.public_url and urlsplit(settings.public_url).scheme not in ("http", "https"):
        raise Invalid(f"--public-url is an address such as https://lens.example.org, not {settings.public_url!r}.")
    if not (settings.access or settings.read_only or is_loopback(settings.host)):
        raise Invalid(
            f"Listening on {settings.host} lets other machines in, and nothing says what they may do. Choose one of "
            "three: --read-only (everybody may look, nobody may change anything); --access token (people and programs "
            "sign in with tokens, made with: featurescope tokens create); --access proxy (a proxy before this server "
            "says in a header who it is). Or listen on this machine alone: --host 127.0.0.1."
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def networks(listed: str) -> list[Network]:
    """Addresses and networks, with commas between. Raises Invalid."""
    try:
        return [ipaddress.ip_network(part.strip()) for part in listed.split(",") if part.strip()]
    except ValueError as error:
        raise Invalid(f"--proxies takes addresses such as 10.0.0.5 or 10.0.0.0/24, with commas: {error}.") from error


def is_proxy(address: str, proxies: Sequence[Network]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in proxies)


def peer(request: HTTPConnection) -> str:
    """The address that the connection comes from, which nobody can claim falsely."""
    return request.client.host if request.client is not None else ""


def client_address(request: HTTPConnection, proxies: Sequence[Network]) -> str:
    """Whom limits count: the peer, or whom a believed proxy forwards for."""
    address = peer(request)
    if not is_proxy(address, proxies):
        return address
    for forwarded in reversed(request.headers.get("x-forwarded-for", "").split(",")):
        if forwarded.strip() and not is_proxy(forwarded.strip(), proxies):
            return forwarded.strip()[:45]
    return address
