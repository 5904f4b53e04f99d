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
    "/dictionaries/seed/sentences/3",
    "/dictionaries/seed/live",
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


def violations(page: Page, address: str | None = None) -> list[str]:
    """The rules that a page breaks, with the first element of each."""
    if address is not None:
        page.goto(address)
    response = Axe().run(page).response
    return [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in response["violations"]]
