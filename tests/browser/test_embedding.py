"""A feature inside another page, as a notebook's server on the same machine shows it."""

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def notebook(tmp_path: Path) -> Iterator[str]:
    """Another server's page."""
    (tmp_path / "index.html").write_text("<!doctype html><title>A notebook</title><p>A post")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(tmp_path)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


def test_what_is_embedded_tells_its_height_and_has_the_scheme_asked_for(
    browser: Browser, address: str, notebook: str
) -> None:
    page = browser.new_page()
    page.goto(f"{address}/dictionaries/seed/features/3/copy")
    assert page.locator("#copy-embed").input_value().startswith(f'<iframe src="{address}/embed/')
    page.goto(notebook)
    height = page.evaluate(
        """source => new Promise((resolve, reject) => {
          setTimeout(() => reject("no height was told"), 10_000);
          addEventListener("message", event => resolve(event.data.featurescope.height));
          const frame = document.createElement("iframe");
          frame.src = source;
          document.body.append(frame);
        })""",
        f"{address}/embed/dictionaries/seed/features/3?theme=dark",
    )
    assert height > 50
    inside = page.frames[1]
    assert inside.locator("ol li").count() > 0
    assert inside.evaluate("getComputedStyle(document.body).colorScheme") == "dark"
    page.close()
