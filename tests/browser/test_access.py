"""axe-core over every page and state, in both schemes, at a desk and on the smallest phone."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

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
    "/definitions",
    "/api/docs",
    "/nothing/here",
)


@pytest.mark.parametrize("width", [1280, 320])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, address: str, scheme: str, width: int) -> None:
    page = browser.new_page(
        color_scheme="dark" if scheme == "dark" else "light", viewport={"width": width, "height": 800}
    )
    found = {path: faults for path in STATES if (faults := violations(page, address + path))}
    page.close()
    assert found == {}


def test_axe_finds_nothing_in_what_opens(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(f"{address}/dictionaries/seed/features/3")
    for summary in page.locator("details > summary").all():
        if summary.is_visible():
            summary.click()
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


def violations(page: Page, address: str | None = None) -> list[str]:
    """The rules that a page breaks, with the first element of each."""
    if address is not None:
        page.goto(address)
    response = Axe().run(page).response
    return [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in response["violations"]]
