"""The pages as pictures, at three widths, light and dark, into screenshots/; --docs writes the README's two.

python recipes/screenshots.py [--docs]
Serves featurescope.db of the current folder (make run makes it) on a free port.
"""

import argparse
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.error import URLError

from playwright.sync_api import Browser, sync_playwright

PAGES = {
    "home": "/",
    "dictionary": "/dictionaries/demo?sort=-max_activation",
    "cards": "/dictionaries/demo?view=cards&sort=-density",
    "refused": "/dictionaries/demo?min_density=50&max_density=3",
    "feature": "/dictionaries/demo/features/{feature}",
    "lines": "/dictionaries/demo/features/{feature}?view=line",
    "strength": "/dictionaries/demo/features/{feature}?group=interval-3&bars=log",
    "sentence": "/dictionaries/demo/sentences/3",
    "live": "/dictionaries/demo/live?text=The+goalkeeper+tipped+the+ball+over+the+bar,+and+the+crowd+went+silent.",
    "search": "/search?q=tennis",
    "definitions": "/definitions",
    "api": "/api/docs",
}
SIZES = {"wide": (1280, 900), "phone": (390, 844), "small": (320, 640)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", action="store_true")
    parser.add_argument("--feature", default="12")
    asked = parser.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-m", "app", "serve", "--port", str(port)])
    try:
        wait(f"http://127.0.0.1:{port}/healthz")
        chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            shoot(browser, f"http://127.0.0.1:{port}", asked.feature, asked.docs)
    finally:
        server.terminate()
        server.wait()


def wait(address: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(address, timeout=2).close()
        except (URLError, ConnectionError):
            time.sleep(0.1)
        else:
            return
    sys.exit("The server does not answer: is there a featurescope.db here? (make run makes it.)")


def shoot(browser: Browser, base: str, feature: str, for_docs: bool) -> None:
    folder = Path("docs/images" if for_docs else "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    for scheme in ("light",) if for_docs else ("light", "dark"):
        for size, (width, height) in SIZES.items():
            if for_docs and size != "wide":
                continue
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            for name, path in PAGES.items():
                if for_docs and name not in ("dictionary", "feature"):
                    continue
                page.goto(base + path.format(feature=feature))
                page.wait_for_load_state("networkidle")
                file = folder / (f"{name}.png" if for_docs else f"{name}-{size}-{scheme}.png")
                page.screenshot(path=str(file))
                print(file)
            page.close()


if __name__ == "__main__":
    main()
