"""One journey through the real demo model's dictionary in a real Chromium, with JavaScript and without."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def densities(page: Page) -> list[float]:
    cells = page.locator("#features td.density").all_inner_texts()
    return [float(re.sub(r"[^0-9.]", "", text) or 0) for text in cells]


def test_a_reader_finds_a_feature_and_tries_a_text(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_role("link", name="seed").click()
    expect(page.locator("#features tbody tr")).to_have_count(50)

    page.locator("th.density a").click()
    page.wait_for_url("**/dictionaries/seed?sort=-density")
    expect(page.locator("th.density")).to_have_attribute("aria-sort", "descending")
    found = densities(page)
    assert found == sorted(found, reverse=True)

    page.locator("input[name=q]:not(#search)").fill("the")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".tally")).to_contain_text(" of ")
    assert "q=the" in page.url

    assert "sort=-density" in page.url
    rarest = page.locator("#features tbody tr").last
    index = rarest.locator("a.feature").inner_text()
    rarest.locator("a.feature").click()
    expect(page).to_have_title(re.compile(rf"Feature {index} · .*Featurescope"))

    token = page.locator(".examples .token.peak").first
    value = token.get_attribute("data-activation")
    token.hover()
    shown = token.evaluate("node => getComputedStyle(node, '::after').content") if _scripts(page) else f'"{value}"'
    assert shown == f'"{value}"'

    page.locator(".tabs a", has_text="Silent").click()
    expect(page.locator(".tabs a[aria-current]")).to_contain_text("Silent")
    assert page.locator(".examples .token[data-activation]").count() == 0
    page.go_back()
    expect(page.locator(".tabs a[aria-current]")).to_contain_text("Strongest")

    neighbour = page.locator("aside a.feature").first
    other = neighbour.locator(".index").inner_text()
    neighbour.click()
    expect(page.locator("h1")).to_contain_text(other)
    page.go_back()
    expect(page.locator("h1")).to_contain_text(index)

    page.goto(f"{address}/dictionaries/seed")
    page.get_by_role("link", name="Try a text").click()
    page.locator("#text").fill("The quick brown fox <jumps> 🦊")
    page.get_by_role("button", name="Run").click()
    expect(page.locator("table.found").first).to_contain_text("Features over the whole text")
    assert "".join(page.locator(".sentence.live .token").all_inner_texts()) == "The quick brown fox <jumps> 🦊"


def _scripts(page: Page) -> bool:
    return page.locator("footer button").is_visible()


def test_the_keyboard_reaches_everything(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(f"{address}/dictionaries/seed/features/3")
    page.keyboard.press("]")
    page.wait_for_url("**/features/4")
    page.keyboard.press("[")
    page.wait_for_url("**/features/3")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.press("Escape")
    page.locator("main").focus()
    page.keyboard.press("?")
    expect(page.locator("dialog#keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.goto(f"{address}/dictionaries/seed")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/features/1")
    page.close()


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/dictionaries/seed",
        "/dictionaries/seed?view=cards",
        "/dictionaries/seed/features/3",
        "/dictionaries/seed/features/3?view=line&group=interval-3",
        "/dictionaries/seed/features/3/copy",
        "/dictionaries/seed/features/3/labels",
        "/dictionaries/seed/sentences/3",
        "/dictionaries/seed/exchange",
        "/search?q=the",
        "/definitions",
        "/api/docs",
    ],
)
@pytest.mark.parametrize("width", [320, 640, 1280])  # 640: what 200 % of zoom leave of 1280
def test_no_page_is_wider_than_the_screen(browser: Browser, address: str, path: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(address + path)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()
