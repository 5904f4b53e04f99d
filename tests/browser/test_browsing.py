"""Lists and features as people use them: keys, dragging, tapping, Back and Forward, deep links, dark and light."""

import re

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import NOT_WHOLE, Watch

pytestmark = [pytest.mark.browser, pytest.mark.slow]
LIST = "/dictionaries/seed"


def indices(page: Page) -> list[str]:
    return page.locator("#features .index").all_inner_texts()


def test_the_keyboard_alone_goes_from_a_list_to_its_features_and_their_values(scripted: Page, address: str) -> None:
    page = scripted
    page.goto(f"{address}{LIST}?sort=-max_activation")
    order = indices(page)
    for key in ("j", "j", "k", "j"):
        page.keyboard.press(key)
    expect(page.locator("#features a.feature").nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/features/{order[1]}?among=*")
    page.keyboard.press("]")
    page.wait_for_url(f"**/features/{order[2]}?among=*")
    page.keyboard.press("[")
    page.wait_for_url(f"**/features/{order[1]}?among=*")

    page.keyboard.press("j")
    first = page.locator(".examples li").first
    expect(first).to_be_focused()
    page.keyboard.press("ArrowRight")
    token = first.locator(".token[data-activation]").first
    expect(token).to_be_focused()
    assert value_of(token) == token.get_attribute("data-activation")
    page.keyboard.press("k")
    page.keyboard.press("Escape")
    with page.expect_event("load"):
        page.keyboard.press("r")
    expect(page).to_have_url(re.compile(r"/features/\d+\?among="))
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()


def value_of(token: Locator) -> str:
    return str(token.evaluate("node => getComputedStyle(node, '::after').content")).strip('"')


def test_where_the_focus_is_can_be_seen(scripted: Page, address: str) -> None:
    for path in (LIST, f"{LIST}/features/3"):
        scripted.goto(address + path)
        for _ in range(25):
            scripted.keyboard.press("Tab")
            marked = scripted.evaluate(
                """() => {
                  const node = document.activeElement;
                  const row = node.closest("tr, li");
                  return [node, row, node.querySelector(".reach")].some((one) => one && (
                    getComputedStyle(one).outlineStyle !== "none" || getComputedStyle(one).boxShadow !== "none" ||
                    getComputedStyle(one).strokeWidth === "1.5px"));
                }"""
            )
            assert marked, scripted.evaluate("document.activeElement.outerHTML")


def test_dragging_over_the_histogram_asks_for_that_range(scripted: Page, address: str) -> None:
    page = scripted
    page.goto(address + LIST)
    bars = page.locator("#density a.bar")
    low, high = bars.nth(2), bars.nth(4)
    lowest, highest = low.get_attribute("data-low"), high.get_attribute("data-high")
    for bar, act in ((high, page.mouse.down), (low, page.mouse.up)):  # from right to left works too
        box = bar.locator(".reach").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=4)
        act()
    page.wait_for_url(f"**min_density={lowest}&max_density={highest}**")
    expect(page.locator("#density a.chosen")).to_have_count(3)
    expect(page.locator(".tally")).to_contain_text(" of ")
    page.go_back()
    expect(page.locator("#density a.chosen")).to_have_count(0)


def test_a_bar_can_be_chosen_without_a_script(page: Page, address: str) -> None:
    page.goto(address + LIST)
    page.locator("#density a.bar .reach").nth(3).click()
    page.wait_for_url("**min_density=**")
    expect(page.locator("#density a.chosen")).to_have_count(1)


def test_filters_answer_while_typing_and_say_what_they_cannot_read(scripted: Page, address: str, watch: Watch) -> None:
    page = scripted
    page.goto(address + LIST)
    page.locator(".filters summary").click()
    page.locator("input[name=token]").fill("the")
    page.wait_for_url("**token=the**")
    expect(page.locator(".tally")).to_contain_text(" of ")
    page.locator("input[name=min_density]").fill("much")
    expect(page.locator("#features [role=alert]")).to_contain_text("'much'; it takes a number")
    page.locator("input[name=min_density]").fill("")
    expect(page.locator("#features tbody tr").first).to_be_visible()
    # The browser itself notes in the console that an answer was a 422.
    watch.faults[:] = [fault for fault in watch.faults if "422" not in fault]


def test_views_and_sorts_come_back_with_back_and_forward(page: Page, address: str) -> None:
    page.goto(address + LIST)
    page.locator(".choices a", has_text="Cards").click()
    expect(page.locator(".feature-card").first).to_be_visible()
    page.go_back()
    expect(page.locator("table.features")).to_be_visible()
    page.locator("th.mean a").click()
    expect(page.locator("th.mean")).to_have_attribute("aria-sort", "descending")
    page.go_back()
    expect(page.locator("th.mean")).not_to_have_attribute("aria-sort", "descending")
    page.go_forward()
    expect(page.locator("th.mean")).to_have_attribute("aria-sort", "descending")


def test_a_list_pages_to_its_end(page: Page, address: str) -> None:
    page.goto(f"{address}{LIST}?sort=-density")
    seen = indices(page)
    while page.locator("a[rel=next]").count():
        page.locator("a[rel=next]").click()
        expect(page.locator("#features .index").first).not_to_have_text(seen[-50 if len(seen) >= 50 else 0])
        seen += indices(page)
    total = int(page.locator(".tally b").inner_text().replace(",", ""))
    assert len(seen) == len(set(seen)) == total


def test_looks_of_examples_are_a_link_that_can_be_shared(page: Page, address: str) -> None:
    page.goto(f"{address}{LIST}/features/3")
    for name in ("Full", "Signs", "Sentence"):
        page.locator("#examples .choices a", has_text=name).click()
        expect(page.locator("#examples .choices a[aria-current]", has_text=name)).to_be_visible()
    page.locator(".tabs a", has_text="By strength").click()
    expect(page.locator(".intervals a[aria-current]")).to_be_visible()
    shared = page.url
    shown = page.locator(".examples").inner_text()
    page.goto("about:blank")
    page.goto(shared)
    assert page.locator(".examples").inner_text() == shown


def test_an_example_leads_to_its_sentence_and_on(page: Page, address: str) -> None:
    page.goto(f"{address}{LIST}/features/3")
    page.locator(".examples .value").first.click()
    expect(page.locator("h1")).to_contain_text("Sentence")
    expect(page.locator("#text .token.peak")).to_be_visible()
    page.locator("table.found tr a.feature").first.click()
    expect(page.locator("h1")).to_contain_text("Feature")


def test_a_definition_is_one_click_away(page: Page, address: str) -> None:
    page.goto(f"{address}{LIST}/features/3")
    page.locator("aside summary", has_text="Neighbours").click()
    expect(page.locator("aside .said", has_text="cosine of decoder directions")).to_be_visible()


def test_meanings_and_what_a_list_is_sorted_by_are_never_cut(scripted: Page, address: str) -> None:
    for path in (LIST, f"{LIST}/features/3"):
        scripted.goto(address + path)
        for width in (1280, 390, 320):
            scripted.set_viewport_size({"width": width, "height": 800})
            assert scripted.evaluate(NOT_WHOLE) == [], (path, width)
            if path == LIST:
                assert scripted.locator("#sort").evaluate(ROOM_TO_SPARE) >= 0, width


# Of a choice's width, beyond what its longest option takes.
ROOM_TO_SPARE = """(choice) => {
    const { width } = choice.getBoundingClientRect();
    choice.style.cssText = "position: absolute; width: auto";
    const natural = choice.getBoundingClientRect().width;
    choice.style.cssText = "";
    return width - natural;
}"""


def test_a_tap_shows_a_value_on_a_phone(phone: Page, address: str) -> None:
    phone.goto(f"{address}{LIST}/features/3")
    token = phone.locator(".examples .token[data-activation]").first
    token.tap()
    assert value_of(token) == token.get_attribute("data-activation")
    phone.goto(address + LIST)
    phone.locator("#features a.feature").nth(2).tap()
    expect(phone.locator("h1")).to_contain_text("Feature 2")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_schemes_have_their_own_paper(browser: Browser, address: str, scheme: str) -> None:
    page = browser.new_page(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(address + LIST)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in re.findall(r"\d+", paper)[:3]) / 3
    assert brightness < 60 if scheme == "dark" else brightness > 200
    page.close()
