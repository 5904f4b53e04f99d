"""A label's life in a browser: added, edited, starred, undone, found again; lost updates; and on a phone."""

import re

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import Watch

pytestmark = [pytest.mark.browser, pytest.mark.slow]
FEATURES = "/dictionaries/seed/features"


def add_label(page: Page, text: str, author: str) -> None:
    form = page.locator("#labels form.write").last
    form.locator("input[name=text]").fill(text)
    if form.locator("details.as").count() == 0:  # the name is asked once
        form.locator("input[name=author]").fill(author)
    form.get_by_role("button", name="Add label").click()


def name_of(page: Page) -> Locator:
    return page.locator("#feature-name")


def remove_all(page: Page) -> None:
    labels = page.locator("#labels .labels li")
    for left in reversed(range(labels.count())):
        page.get_by_role("button", name=re.compile("^Remove")).first.click()
        expect(labels).to_have_count(left)


def test_what_was_done_is_in_view_and_in_focus_on_a_phone(phone: Page, address: str) -> None:
    phone.goto(f"{address}{FEATURES}/8")
    for number in range(4):
        add_label(phone, f"name {number}, which takes more than one line of a phone", "Ada")
        expect(phone.locator("#labels .done")).to_contain_text(f"name {number}")
    phone.locator("#label-new").scroll_into_view_if_needed()
    phone.get_by_role("button", name="Remove “name 0").click()
    done = phone.locator("#labels .done")
    expect(done).to_contain_text("Removed")
    expect(done).to_be_focused()
    expect(done).to_be_in_viewport(ratio=1)
    remove_all(phone)


def test_a_label_is_added_edited_starred_undone_and_found(page: Page, address: str) -> None:
    page.goto(f"{address}{FEATURES}/5")
    add_label(page, "a first name", "Ada")
    expect(name_of(page)).to_have_text("a first name")
    expect(page.locator("#labels form.write .as summary")).to_have_text("as Ada")

    page.get_by_role("link", name="Edit “a first name”").click()
    form = page.locator("#labels li form.write")
    form.locator("input[name=text]").fill("a better name")
    form.get_by_role("button", name="Save").click()
    expect(name_of(page)).to_have_text("a better name")
    page.get_by_role("button", name="Undo: changed").click()
    expect(name_of(page)).to_have_text("a first name")

    add_label(page, "another name", "Ada")
    expect(name_of(page)).to_have_text("another name")
    page.get_by_role("button", name="Star “a first name”").click()
    expect(name_of(page)).to_have_text("a first name")

    page.get_by_role("button", name="Remove “a first name”").click()
    expect(name_of(page)).to_have_text("another name")
    page.get_by_role("button", name="Undo: removed").click()
    expect(name_of(page)).to_have_text("a first name")

    page.goto(f"{address}/search?q=first+name&kind=label")
    page.locator(".hits a.feature").first.click()
    expect(name_of(page)).to_have_text("a first name")
    remove_all(page)
    expect(name_of(page)).to_have_text("")


def test_a_lost_update_shows_both_texts_and_asks_no_name_again(browser: Browser, address: str) -> None:
    where = f"{address}{FEATURES}/6"
    contexts = [browser.new_context() for _ in range(2)]
    ada, bob = (context.new_page() for context in contexts)
    ada.goto(where)
    add_label(ada, "theirs to change", "Ada")
    expect(name_of(ada)).to_have_text("theirs to change")
    bob.goto(where)
    for person, text in ((ada, "Ada's text"), (bob, "Bob's text")):
        person.get_by_role("link", name=re.compile("^Edit")).click()
        person.locator("#labels li input[name=text]").fill(text)
    ada.get_by_role("button", name="Save").click()
    expect(name_of(ada)).to_have_text("Ada's text")
    bob.locator("#labels li input[name=author]").fill("Bob")
    bob.get_by_role("button", name="Save").click()
    expect(bob.locator(".both dd")).to_have_text(["Ada's text", "Bob's text"])
    bob.get_by_role("button", name="Save").click()
    expect(name_of(bob)).to_have_text("Bob's text")
    remove_all(bob)
    for context in contexts:
        context.close()


def test_a_feature_is_named_and_starred_on_a_phone(phone: Page, address: str) -> None:
    phone.goto(f"{address}{FEATURES}/7")
    phone.get_by_role("link", name="Labels", exact=True).tap()
    expect(phone.locator("#label-new")).to_be_in_viewport()
    add_label(phone, "on the way", "Ada")
    expect(name_of(phone)).to_have_text("on the way")
    phone.get_by_role("button", name="Star “on the way”").tap()
    expect(phone.get_by_role("button", name="Take your star back from “on the way”")).to_be_visible()
    phone.reload()
    remove_all(phone)


def test_somebody_whose_name_is_not_known_is_asked_for_it_by_the_star(
    browser: Browser, page: Page, address: str
) -> None:
    where = f"{address}{FEATURES}/8"
    other = browser.new_context()
    ada = other.new_page()
    ada.goto(where)
    add_label(ada, "starred by Eve", "Ada")
    expect(name_of(ada)).to_have_text("starred by Eve")
    page.goto(where)
    star = page.locator("#labels .acts details")
    star.locator("summary").click()
    star.locator("input[name=author]").fill("Eve")
    star.get_by_role("button", name="Star").click()
    expect(page.get_by_role("button", name="Take your star back from “starred by Eve”; it has 1")).to_be_visible()
    remove_all(page)
    other.close()


def test_what_the_server_refuses_altogether_is_said_over_the_page(scripted: Page, address: str, watch: Watch) -> None:
    page = scripted
    page.goto(f"{address}/dictionaries/seed/features/11")
    field = page.locator("#label-new")
    field.evaluate("field => { field.removeAttribute('maxlength'); field.value = 'x'.repeat(1_000_001); }")
    page.locator("#label-new-author").fill("Ada")
    page.get_by_role("button", name="Add label").click()
    expect(page.locator("#failed")).to_contain_text("at most 1,000,000 bytes")
    page.keyboard.press("Escape")
    expect(page.locator("#failed")).to_be_hidden()
    field.fill("small enough")
    page.get_by_role("button", name="Add label").click()
    expect(page.locator("#labels .done")).to_contain_text("small enough")
    # The browser itself notes in the console that an answer was a 413.
    watch.faults[:] = [fault for fault in watch.faults if "413" not in fault]
