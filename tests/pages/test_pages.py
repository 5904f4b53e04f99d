"""What every page has in common."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

ADDRESSES = (
    "/",
    "/dictionaries/tiny",
    "/dictionaries/tiny/features/3",
    "/dictionaries/tiny/features/5",
    "/dictionaries/tiny/features/3?group=interval-5&view=line&spaces=shown&bars=log&among=sort%3D-density",
    "/dictionaries/tiny?view=cards&sort=label",
    "/dictionaries/tiny/sentences/3",
    "/definitions",
    "/dictionaries/tiny/live",
    "/dictionaries/tiny/live?text=The+match",
    "/search",
    "/search?q=tennis",
    "/api/docs",
    "/dictionaries/nope",
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_page_is_whole_safe_and_titled(client: TestClient, browse: Any, address: str) -> None:
    page = browse(address)
    assert page.text("title").endswith("Featurescope")
    assert len(page.all("h1")) + len(page.all("main")) >= 2
    assert not page.all("[style], style, script:not([src])"), "the policy allows nothing inline"
    policy = client.get(address).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    ids = [node.attributes["id"] for node in page.all("[id]")]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("address", ADDRESSES[:-1])
def test_links_of_a_page_lead_somewhere(client: TestClient, browse: Any, address: str) -> None:
    links = {node.attributes.get("href") or "" for node in browse(address).all("a")}
    for link in sorted(link for link in links if link.startswith("/"))[:25]:
        assert client.get(link).status_code == 200, link


def test_what_does_not_exist_is_a_page_that_says_what_does(browse: Any) -> None:
    page = browse("/dictionaries/nope")
    assert page.status == 404
    assert "there are tiny" in page.text("main")
    page = browse("/dictionaries/tiny/features/24")
    assert page.status == 404
    assert "features 0 to 23" in page.text("main")
    assert browse("/no/such/page").status == 404


@pytest.mark.parametrize(
    "query",
    ["sort=nonsense", "cursor=nonsense", "view=nonsense"],
)
def test_a_list_that_cannot_be_is_an_error_page(browse: Any, query: str) -> None:
    page = browse(f"/dictionaries/tiny?{query}")
    assert page.status == 422
    assert page.text(".status") == "422"
    assert browse(page.one("main a").attributes["href"]).status == 200


@pytest.mark.parametrize("query", ["min_density=much", "min_density=-1", "alive=perhaps", "max_max_activation=nan"])
def test_a_field_that_cannot_be_read_is_said_beside_the_form(browse: Any, query: str) -> None:
    page = browse(f"/dictionaries/tiny?{query}")
    assert page.status == 422
    assert query.split("=")[1] in page.text("[role=alert]")
    name, value = query.split("=")
    assert not page.all(f"input[name={name}]") or page.one(f"input[name={name}]").attributes["value"] == value


def test_titles_are_shown_as_text(browse: Any) -> None:
    page = browse("/dictionaries/tiny")
    assert page.text("h1") == "Tiny <em>one</em>"
    assert not page.all("h1 em")


def test_health_is_200_once_pages_can_be_served(client: TestClient) -> None:
    assert (client.get("/healthz").status_code, client.get("/healthz").text) == (200, "ok")


def test_static_files_are_kept_for_good_under_their_hash(client: TestClient, browse: Any) -> None:
    address = browse("/").one("link[rel=stylesheet]").attributes["href"]
    assert "immutable" in client.get(address).headers["cache-control"]
    assert client.get(address.split("?")[0]).headers["cache-control"] == "no-cache"
