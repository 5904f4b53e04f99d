"""The live side in a real browser, with JavaScript and without: a text of one's own, and steering."""

import re

import pytest
from playwright.sync_api import Page, Response, expect

from tests.browser.conftest import NOT_WHOLE, TOO_WIDE

pytestmark = [pytest.mark.browser, pytest.mark.slow]
TEXT = "The quick brown fox <jumps> 🦊"


def test_a_reader_runs_a_text_and_asks_what_fires_where(page: Page, address: str) -> None:
    page.goto(f"{address}/dictionaries/seed/live")
    page.locator("#text").fill(TEXT)
    page.get_by_role("button", name="Run").click()
    tokens = page.locator(".sentence.live .token")
    expect(tokens.first).to_be_visible(timeout=60_000)  # the model loads
    assert "".join(tokens.all_inner_texts()) == TEXT

    tokens.nth(2).click()
    expect(tokens.nth(2)).to_have_attribute("aria-current", "true")
    assert "token=2" in page.url
    expect(page.get_by_role("heading", name="At token 3")).to_be_visible()
    expect(page.get_by_role("heading", name="What the model expects next")).to_be_visible()

    index = page.locator("#ranked tbody tr .index").first.inner_text()
    page.get_by_role("link", name=f"Follow feature {index} along the text").first.click()
    expect(page.locator("#followed tbody tr")).to_have_count(1)
    expect(page.locator("#followed tbody .index")).to_have_text(index)
    page.get_by_role("link", name="Most unusual").click()
    expect(page.locator("#ranked .tabs [aria-current]")).to_have_text("Most unusual")
    assert f"follow={index}" in page.url
    page.go_back()
    expect(page.locator("#ranked .tabs [aria-current]")).to_have_text("Strongest")

    page.get_by_role("link", name="Attribute", exact=True).click()
    page.locator("#text").fill("She won the match in")
    page.get_by_role("button", name="Attribute").click()
    expect(page.locator("#ranked tbody tr")).to_have_count(10)
    page.locator(".candidates .acts a").nth(1).click()
    expect(page.locator("#result .why")).to_contain_text("rather than")

    page.get_by_role("link", name="Find by examples").click()
    page.get_by_role("link", name="Sentences about tennis, and others").click()
    expect(page.locator("#result tbody tr").first).to_contain_text("of 3")

    page.goto(f"{address}/dictionaries/seed/features/{index}")
    page.locator("#try-it textarea").fill(TEXT)
    page.locator("#try-it").get_by_role("button", name="Run").click()
    expect(page.locator("#try-it .sentence")).to_have_text(TEXT)
    page.reload()  # the texts are in the address
    expect(page.locator("#try-it .sentence")).to_have_text(TEXT)
    page.go_back()
    expect(page.locator("h1")).to_have_text(f"Feature {index}")
    expect(page.locator("#try-it .sentence")).to_have_count(0)


def is_event_stream(answer: Response) -> bool:
    return answer.headers.get("content-type", "").startswith("text/event-stream")


def test_a_reader_steers_a_text_and_reads_it_beside_the_base(page: Page, address: str) -> None:
    page.goto(f"{address}/dictionaries/seed/steer?feature=3")
    page.locator("#prompt").fill("The best thing about")
    page.locator("input[name=strength]").first.fill("4")
    page.get_by_text("How it is written").click()
    page.locator("input[name=max_new_tokens]").fill("30")
    write = page.get_by_role("button", name="Write")
    if page.locator("footer button").is_visible():  # it is shown by a script
        with page.expect_response(is_event_stream, timeout=60_000):  # its tokens may be replaced by the whole at once
            write.click()
        expect(page).to_have_url(re.compile("run=stream"))
    else:
        write.click(timeout=60_000)  # it waits for the whole
        expect(page).to_have_url(re.compile("run=whole"))
    steered = page.locator("[data-side=steered]")
    expect(steered).to_contain_text("nats a token", timeout=60_000)
    expect(page.locator("[data-side=base] .prompt")).to_have_text("The best thing about")
    assert steered.locator(".token[data-activation]").count() == steered.locator(".token").count() > 0
    expect(page.get_by_text("Writing…")).to_have_count(0)
    expect(page.locator(".notes")).to_contain_text("4 times the most it reached")


@pytest.mark.parametrize(
    "path",
    [
        "live?text=The+match+and+rain&follow=3",
        "steer?prompt=The&feature=3&run=whole",
        "attribute?text=The+match+and",
        "find?having=The+match%0ALove+all&lacking=The+soup+is+hot%0AIt+rains",
    ],
)
def test_no_live_page_and_no_table_or_meaning_of_it_is_wider_than_the_screen(
    scripted: Page, address: str, path: str
) -> None:
    scripted.goto(f"{address}/dictionaries/seed/{path}")
    expect(scripted.locator("#result")).to_be_visible(timeout=60_000)  # the model loads
    for width in (1280, 390, 320):
        scripted.set_viewport_size({"width": width, "height": 800})
        assert scripted.evaluate(TOO_WIDE) == [], width
        assert scripted.evaluate(NOT_WHOLE) == [], width
