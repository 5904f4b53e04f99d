"""Served under a path of another site, behind a real nginx: every address stays under the path."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from app.access.rule import check_access
from app.errors import Invalid
from app.main import create_app
from app.middleware.root_path import ADDRESS
from app.roles import Role
from app.settings import Settings
from tests.conftest import Indexed, Page, get_loaded
from tests.server import free_port, serving

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
PREFIX = "/lab/scope"


@contextmanager
def behind_nginx(folder: Path, server: str, cuts: bool) -> Iterator[str]:
    """The address of a proxy that serves the server under PREFIX. cuts: whether it takes the prefix off."""
    port = free_port()
    (folder / "nginx.conf").write_text(
        f"""
        daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
        events {{ }}
        http {{
          access_log off; client_body_temp_path {folder}; proxy_temp_path {folder};
          fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
          server {{
            listen 127.0.0.1:{port};
            location {PREFIX}/ {{
              proxy_pass {server}{"/" if cuts else ""};
              proxy_set_header Host $http_host;
              proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
              proxy_set_header X-Forwarded-Proto $scheme;
              proxy_buffering off;
            }}
          }}
        }}
        """
    )
    process = subprocess.Popen([NGINX or "nginx", "-c", folder / "nginx.conf", "-e", folder / "error.log"])
    try:
        for _ in range(100):
            try:
                httpx.get(f"http://127.0.0.1:{port}/", timeout=5)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.slow
@pytest.mark.skipif(NGINX is None, reason="nginx is not installed: install Debian's package nginx")
@pytest.mark.parametrize("cuts", [True, False], ids=["prefix cut off", "prefix left on"])
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_behind_a_prefix_every_address_stays_under_it(
    database_path: Path, token_of: Callable[..., str], cuts: bool
) -> None:
    folder = database_path.parent
    secret = token_of("Root", Role.ADMIN)
    arguments = ("serve", "--no-model", "--db", str(database_path), "--root-path", PREFIX, "--access", "token")
    with (
        serving(folder, *arguments) as server,
        behind_nginx(folder, server, cuts) as site,
        httpx.Client(base_url=site, timeout=20) as client,
    ):
        refused = client.get(f"{PREFIX}/dictionaries/tiny")
        assert refused.headers["location"].startswith(f"{PREFIX}/sign-in?next=")
        form = Page(200, client.get(refused.headers["location"]).text)
        action = form.one("form[method=post]").attributes["action"] or ""
        values = {
            field.attributes["name"]: field.attributes["value"] for field in form.all("form[method=post] [value]")
        }
        signed_in = client.post(action, data=values | {"token": secret})
        assert signed_in.headers["location"] == f"{PREFIX}/dictionaries/tiny"
        assert f"Path={PREFIX}/" in signed_in.headers["set-cookie"]
        seen, waiting = set[str](), [f"{PREFIX}/", f"{PREFIX}/admin", f"{PREFIX}/search?q=tennis"]
        while waiting and len(seen) < 40:
            address = waiting.pop(0)
            if address in seen:
                continue
            seen.add(address)
            answer = client.get(address, follow_redirects=True)
            assert answer.status_code == 200, address
            if not answer.headers["content-type"].startswith("text/html"):
                continue
            page = Page(200, answer.text)
            for attribute in ("href", "src", "action", "hx-get", "hx-post"):
                for node in page.all(f"[{attribute}]"):
                    found = (node.attributes[attribute] or "").split("#")[0]
                    if found.startswith("/"):
                        assert found.startswith(f"{PREFIX}/"), (address, found)
                        if attribute in ("href", "src"):
                            waiting.append(found)
        document = client.get(f"{PREFIX}/api/openapi.json").json()
        assert document["servers"] == [{"url": PREFIX}]
        missing = client.get(f"{PREFIX}/api/v1/nothing")
        assert missing.headers["content-type"] == "application/problem+json"
        assert client.get("/dictionaries/tiny").status_code == 404, "nothing else of the site is taken"


LIVE_PAGES = (
    "live?text=The+match&follow=3",
    "steer?prompt=The+match&feature=3&strength=1&max_new_tokens=3&run=whole",
    "steer?prompt=The+match&feature=3&strength=1&max_new_tokens=3&run=stream",
    "attribute?text=The+match+and",
    "find?with=The+match&without=and+the",
    "features/3/try?text=The+match",
)


@pytest.mark.slow
def test_live_pages_and_their_event_stream_stay_under_a_prefix(indexed: Indexed) -> None:
    with TestClient(create_app(Settings(db=indexed.url, root_path=PREFIX))) as client:
        streams = []
        for address in LIVE_PAGES:
            answer = get_loaded(client, f"{PREFIX}/dictionaries/tiny/{address}")
            assert answer.status_code == 200, address
            page = Page(200, answer.text)
            for attribute in ("href", "src", "action", "hx-get", "hx-post", "sse-connect"):
                found = [node.attributes[attribute] or "" for node in page.all(f"[{attribute}]")]
                assert all(one.startswith(f"{PREFIX}/") for one in found if one.startswith("/")), (address, found)
                streams += found if attribute == "sse-connect" else []
        (stream,) = streams
        events = client.get(stream).text
        assert "event: outcome" in events
        assert f'href="{PREFIX}/dictionaries/tiny/features/3' in events
        assert 'href="/dict' not in events


def test_only_addresses_get_the_prefix() -> None:
    page = b'<a href="/a"> href=&#34;/b&#34;</a><input value="/c"><img src="//cdn/d"><p title="/e"><form action="/f">'
    asked = page.replace(b'"/a"', b'"/lab/a"').replace(b'"/f"', b'"/lab/f"')
    assert ADDRESS.sub(rb"\1/lab/", page) == asked


@pytest.mark.parametrize("wrong", ["scope", "/scope/", "/", "/a b", "/a//b", '/"x'])
def test_a_prefix_that_is_no_path_is_refused(wrong: str) -> None:
    with pytest.raises(Invalid, match="--root-path"):
        check_access(Settings(root_path=wrong))
