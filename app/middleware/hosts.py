"""The names that the server answers to, so that no other site's name can be pointed at it to read from it."""

import ipaddress
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.settings import Settings


def known_hosts(settings: Settings) -> frozenset[str]:
    """The names given by --hosts, by --public-url and by --host, in lower case; "*" for any."""
    names = {name.strip().lower() for name in settings.hosts.split(",")}
    names |= {urlsplit(settings.public_url).hostname or "", settings.host.lower()}
    return frozenset(names - {""})


class HostCheck:
    """Refuses a request for a name that is not this server's.

    Addresses pass, and names without a dot (localhost, a container's): nobody can register those to point them here.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str], refuse: Callable[[Request, int, str], Response]) -> None:
        self.app = app
        self.hosts = hosts
        self.refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_ours(_host(Headers(scope=scope).get("host", ""))):
            await self.app(scope, receive, send)
            return
        detail = "This server does not go by that name; whoever runs it can add the name with --hosts."
        await self.refuse(Request(scope), 421, detail)(scope, receive, send)

    def _is_ours(self, host: str) -> bool:
        if "." not in host and ":" not in host:
            return True
        if host in self.hosts or "*" in self.hosts:
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True


def _host(header: str) -> str:
    """The name or address in a Host header, without brackets, port and the dot at the end."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower().rstrip(".")
