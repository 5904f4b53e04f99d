"""axe-core over every page and state, in both schemes, at a desk and on the smallest phone."""

import http.client
import json
import shutil
import time
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from app.store.database import Database
from tests.browser.conftest import PATIENCE
from tests.conftest import index_tiny
from tests.server import run, serving
from tests.tiny import Tiny

pytestmark = [pytest.mark.browser, pytest.mark.slow]
STATES = (
    "/",
    "/dictionaries/seed",
    "/dictionaries/seed?view=cards&sort=-density",
    "/dictionaries/seed?token=the&min_density=1&max_density=50",
    "/dictionaries/seed?min_density=50&max_density=3",
    "/dictionaries/seed?q=zzzzz",
    "/dictionaries/seed/features/3",
    "/dictionaries/seed/features/3?view=full&spaces=shown&heat=sentence&bars=log",
    "/dictionaries/seed/features/3?view=line",
    "/dictionaries/seed/features/3?group=interval-3",
    "/dictionaries/seed/features/3?group=contrast",
    "/dictionaries/seed/features/3?group=silent",
    "/dictionaries/seed/features/3/copy",
    "/dictionaries/seed/features/3/labels",
    "/dictionaries/seed/features/3/try",
    "/embed/dictionaries/seed/features/3",
    "/dictionaries/seed/sentences/3",
    "/dictionaries/seed/exchange",
    "/dictionaries/seed/live",
    "/dictionaries/seed/steer",
    "/dictionaries/seed/attribute",
    "/dictionaries/seed/find",
    "/sign-in",
    "/search",
    "/search?q=the",
    "/search?q=the+zzzzz",
    "/search?q=-the",
    "/dictionaries/seed?q=gradient",
    "/definitions",
    "/api/docs",
    "/nothing/here",
)
TEXT = "She+won+the+match+in+straight+sets."
LIVE_STATES = (  # with the model's answer; the feature is one that fires on the text
    f"/dictionaries/seed/live?text={TEXT}&follow={{feature}}&token=2",
    "/dictionaries/seed/steer?feature={feature}&strength=2&prompt=The+best+thing&max_new_tokens=4&run=whole",
    "/dictionaries/seed/attribute?text=She+won+the+match+in",
    "/dictionaries/seed/find?having=She+won+the+match%0AHe+lost+it&lacking=The+soup+is+hot%0AIt+rains",
    f"/dictionaries/seed/features/{{feature}}/try?text={TEXT}",
    "/dictionaries/seed/steer?feature={feature}&strength=2&prompt=The+best+thing&max_new_tokens=4&run=stream",
)


@pytest.mark.parametrize("width", [1280, 320])
def test_axe_finds_nothing(browser: Browser, address: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    found = {path: faults for path in STATES if (faults := violations_in_both(page, address + path))}
    page.close()
    assert found == {}


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 320)])
def test_axe_finds_nothing_in_what_the_model_answers(browser: Browser, address: str, scheme: str, width: int) -> None:
    page = browser.new_page(
        color_scheme="dark" if scheme == "dark" else "light", viewport={"width": width, "height": 800}
    )
    texts = {"texts": [TEXT.replace("+", " ")]}
    answer = httpx.post(f"{address}/api/v1/dictionaries/seed/activations", json=texts, timeout=60).json()
    strongest = answer["results"][0]["features"][0]["index"]
    found = {}
    for path in LIVE_STATES:
        page.goto(address + path.format(feature=strongest))
        page.locator("main table, .token[class*=heat-]").first.wait_for(timeout=4 * PATIENCE)  # the model loads
        if faults := violations(page):
            found[path] = faults
    page.close()
    assert found == {}


def test_axe_finds_nothing_where_the_model_cannot_answer(browser: Browser, tiny: Tiny, tmp_path: Path) -> None:
    """It is busy, then it loads, then it has gone."""
    model = tmp_path / "model"
    shutil.copytree(tiny.model, model)
    index_tiny(tiny, tmp_path / "featurescope.db", model=str(model))
    (model / "code.py").write_text("import time\n\ntime.sleep(3600)\n")
    slow = {"model_type": "slow", "auto_map": {"AutoConfig": "code.SlowConfig"}}
    (model / "config.json").write_text(json.dumps(slow))
    settings = {"FEATURESCOPE_TRUST_REMOTE_CODE": "1", "FEATURESCOPE_MAX_WAITING": "1"}
    page = browser.new_page(viewport={"width": 320, "height": 800})
    with serving(tmp_path, "serve", **settings) as address:
        live, ready = f"{address}/dictionaries/tiny/live?text=x", f"{address}/readyz"
        call = http.client.HTTPConnection(urlsplit(address).netloc)
        body = json.dumps({"texts": ["x"]})
        call.request("POST", "/api/v1/dictionaries/tiny/activations", body, {"content-type": "application/json"})
        while httpx.get(ready).json()["live_waiting"] == 0:
            time.sleep(0.05)
        assert violations_of_notice(page, live, "Try again") == []
        call.close()
        while httpx.get(ready).json()["live_waiting"] == 1:
            time.sleep(0.05)
        assert violations_of_notice(page, live, "is loading") == []
        model.rename(tmp_path / "elsewhere")
        assert violations_of_notice(page, live, "no longer where it was") == []
    page.close()


def violations_of_notice(page: Page, address: str, says: str) -> list[str]:
    page.goto(address)
    page.locator(".notice", has_text=says).wait_for()
    return violations_in_both(page)


def violations_in_both(page: Page, address: str | None = None) -> list[str]:
    """Of both schemes, which differ in colours alone."""
    found = violations(page, address)
    page.emulate_media(color_scheme="dark")
    found += [f"dark: {fault}" for fault in violations(page, rules=["color-contrast", "link-in-text-block"])]
    page.emulate_media(color_scheme="light")
    return found


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 320)])
def test_axe_finds_nothing_where_access_is_given(
    browser: Browser, tmp_path: Path, scheme: Literal["light", "dark"], width: int
) -> None:
    Database(f"sqlite:///{tmp_path / 'featurescope.db'}").close()
    made = run(["tokens", "create", "Ada", "--role", "admin"], tmp_path)
    assert made.returncode == 0, made.stderr
    with serving(tmp_path, "serve", "--access", "token", "--no-model") as address:
        page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 800})
        page.goto(f"{address}/sign-in")
        page.locator("#token").fill(made.stdout.split()[-1])
        page.locator("main button").click()
        page.goto(f"{address}/admin")
        tokens, people = (
            page.locator(f"section[aria-labelledby={name}] form.filters") for name in ("tokens", "people")
        )
        people.locator("input[name=name]").fill("Ben")
        people.get_by_role("button").click()
        page.get_by_role("button", name="Take the role of Ben").wait_for()
        tokens.locator("input[name=name]").fill("a notebook")
        tokens.get_by_role("button").click()
        page.locator("#secret").wait_for()
        assert violations(page) == []
        page.close()


def test_axe_finds_nothing_in_what_opens(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(f"{address}/dictionaries/seed/features/3")
    for summary in page.locator("details > summary").all():
        if summary.is_visible():
            summary.press("Enter")  # what is open may lie over it
    assert page.locator("details[open]").count() > 0
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.locator("dialog#keys").wait_for()
    assert violations(page) == []
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_while_somebody_types_and_labels(browser: Browser, address: str, scheme: str) -> None:
    context = browser.new_context(color_scheme="dark" if scheme == "dark" else "light")
    page = context.new_page()
    page.goto(f"{address}/dictionaries/seed/features/9")
    page.locator("#search").press_sequentially("the")
    page.locator("#found li").first.wait_for()
    assert violations(page) == []
    page.keyboard.press("Escape")

    page.locator("#label-new").fill("a name")
    page.locator("#label-new-author").fill("Ada")
    page.get_by_role("button", name="Add label").click()
    page.get_by_role("button", name="Undo").wait_for()
    assert violations(page) == []
    page.get_by_role("link", name="Edit").click()
    form = page.locator("#labels li form.write")
    form.locator("input[name=version]").evaluate("field => field.value = 0")
    form.get_by_role("button", name="Save").click()
    page.locator("#labels .both").wait_for()
    assert violations(page) == []
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("button", name="Remove").click()
    page.get_by_role("button", name="Undo").wait_for()

    page.goto(f"{address}/dictionaries/seed/exchange")
    page.locator("#pasted").fill("feature,text\n3,a name\n")
    for shown in (".done", ".refused"):
        page.get_by_role("button", name="Show what would change").click()
        page.locator(f"#import {shown}").wait_for()
        assert violations(page) == []
        page.locator("#pasted").fill("feature,text\n9999,a name\n")
    context.close()


def violations(page: Page, address: str | None = None, rules: list[str] | None = None) -> list[str]:
    """The rules (all, or these) that a page breaks, with the first element of each."""
    if address is not None:
        page.goto(address)
    options = {"resultTypes": ["violations"]} | ({} if rules is None else {"runOnly": rules})
    response = Axe().run(page, options=options).response
    return [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in response["violations"]]
