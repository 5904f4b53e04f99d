"""Searching as one types, in the search page's box and in the one that every page has, and with plain forms."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Watch

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_results_follow_what_is_typed_and_back_leads_through_them(scripted: Page, address: str) -> None:
    page = scripted
    page.goto(f"{address}/search")
    box = page.locator("main input[name=q]")
    box.press_sequentially("the", delay=30)
    page.wait_for_url(f"{address}/search?q=the")  # what says nothing is not in the address
    expect(page.locator("#results mark").first).to_be_visible()
    expect(box).to_be_focused()

    page.locator(".facets a").first.click()  # leaving the box asks for nothing more
    page.wait_for_url("**kind=*")
    expect(page.locator(".facets a[aria-current]")).to_have_count(1)
    page.go_back()
    page.wait_for_url(f"{address}/search?q=the")
    expect(page.locator(".facets a[aria-current]")).to_have_count(0)
    expect(page.locator("main input[name=q]")).to_have_value("the")
    page.go_forward()
    expect(page.locator(".facets a[aria-current]")).to_have_count(1)


def test_the_keyboard_alone_finds_a_feature_from_any_page(scripted: Page, address: str) -> None:
    page = scripted
    page.goto(f"{address}/definitions")
    page.keyboard.press("/")
    page.keyboard.type("the", delay=30)
    matches = page.locator("#found a.feature")
    expect(matches.first).to_be_visible()
    index = matches.nth(1).locator(".index").inner_text()
    page.keyboard.press("ArrowDown")
    expect(matches.first).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(matches.nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/features/{index}")

    page.keyboard.press("/")
    page.keyboard.type("the", delay=30)
    expect(matches.first).to_be_visible()
    page.keyboard.press("Escape")
    expect(matches.first).to_be_hidden()
    page.keyboard.press("/")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/search\?"))
    expect(page.locator(".hits li").first).to_be_visible()


def test_a_search_needs_no_script_and_takes_any_sign(page: Page, address: str) -> None:
    page.goto(address)
    page.locator("#search").fill('"')
    page.locator("#search").press("Enter")
    page.wait_for_url("**/search?*")
    page.locator("main input[name=q]").fill("the -zzzz")
    page.locator("main form.filters button").click()
    expect(page.locator(".hits li").first).to_be_visible()
    page.locator(".hits a.feature").first.click()
    expect(page.locator("h1")).to_contain_text("Feature")


def test_what_cannot_be_searched_for_is_said_and_typing_goes_on(scripted: Page, address: str, watch: Watch) -> None:
    page = scripted
    page.goto(f"{address}/search")
    box = page.locator("main input[name=q]")
    box.press_sequentially("-court", delay=30)
    expect(page.locator("#results [role=alert]")).to_contain_text("only leaves out")
    box.press_sequentially(" the", delay=30)
    expect(page.locator("#results .hits li").first).to_be_visible()
    # The browser itself notes in the console that an answer was a 422.
    watch.faults[:] = [fault for fault in watch.faults if "422" not in fault]
