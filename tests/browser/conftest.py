"""A real Chromium before the real server, over the bundled model's dictionary of the seed corpus."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from app.index.build import build_index
from app.index.options import BuildOptions
from app.store.database import Database
from tests.server import serving

PATIENCE = 15_000  # milliseconds
TOO_WIDE = """() => [document.documentElement, ...document.querySelectorAll(".scroll:not(:has(.heat-rows))")]
    .filter(part => part.scrollWidth > part.clientWidth).map(part => part.ariaLabel ?? "page")"""
# The names whose meanings, each opened by itself, are cut off, covered, or make the page or a table too wide.
NOT_WHOLE = f"""() => [...document.querySelectorAll("details.meaning")].filter((meaning) => {{
    meaning.open = true;
    const said = meaning.querySelector(".said");
    said.scrollIntoView({{ block: "center", behavior: "instant" }});
    const {{ left, right, top, bottom }} = said.getBoundingClientRect();
    const corners = [[left + 8, top + 8], [right - 8, top + 8], [left + 8, bottom - 8], [right - 8, bottom - 8]];
    const seen = corners.every(([x, y]) => said.contains(document.elementFromPoint(x, y)));
    const tooWide = ({TOO_WIDE})();
    meaning.open = false;
    return !seen || tooWide.length;
}}).map((meaning) => meaning.innerText)"""


def chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="package")  # while it is driven, no other test can run an event loop
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = chromium()
        if found is None:  # `make test` needs no browser; one that is there must start
            pytest.skip("no Chromium is installed here")
        # Every `expect`: whichever test is first to run a text waits for the model, half a minute on a slow machine.
        expect.set_options(timeout=4 * PATIENCE)
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="package")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a server answers, with the dictionary `seed`."""
    folder = tmp_path_factory.mktemp("journey")
    database = Database(f"sqlite:///{folder / 'featurescope.db'}")
    build_index(BuildOptions("seed", None, model="demo", sae="demo", corpus=["seed"]), database, folder / "work")
    database.close()
    with serving(folder, "serve") as served:
        yield served


@dataclass
class Watch:
    """What a page should never do: complain in the console, or ask another host for anything."""

    host: str
    faults: list[str] = field(default_factory=list)

    def over(self, page: Page) -> Page:
        page.set_default_timeout(PATIENCE)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", self._asked)
        return page

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(message.text)

    def _asked(self, request: Request) -> None:
        if urlsplit(request.url).netloc not in (self.host, ""):
            self.faults.append(f"asks another host: {request.url}")


@pytest.fixture
def watch(address: str) -> Iterator[Watch]:
    watch = Watch(urlsplit(address).netloc)
    yield watch
    assert watch.faults == []


@pytest.fixture(params=[True, False], ids=["with JavaScript", "without JavaScript"])
def page(request: pytest.FixtureRequest, browser: Browser, watch: Watch) -> Iterator[Page]:
    """A desktop's page, watched, once with JavaScript and once without."""
    context = browser.new_context(java_script_enabled=request.param, viewport={"width": 1280, "height": 900})
    yield watch.over(context.new_page())
    context.close()


@pytest.fixture
def scripted(browser: Browser, watch: Watch) -> Iterator[Page]:
    """A desktop's page with JavaScript, watched."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield watch.over(context.new_page())
    context.close()


@pytest.fixture
def phone(browser: Browser, watch: Watch) -> Iterator[Page]:
    """A phone's page, watched; it is touched, not pointed at."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    yield watch.over(context.new_page())
    context.close()
