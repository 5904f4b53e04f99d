"""Every page and state as a picture, in three widths, light and dark, into screenshots/; --docs: the README's two.

python recipes/screenshots.py [--docs] [--only home,search] [--db FILE]
Works on a copy of the database (make run makes one), with a label and two tokens added: yours stays as it is.
"""

import argparse
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

D = "/dictionaries/demo"
TEXT = "The+goalkeeper+tipped+the+ball+over+the+bar,+and+the+crowd+went+silent."
Act = Callable[[Page], None]


def press(key: str) -> Act:
    return lambda page: page.keyboard.press(key)


def click(selector: str) -> Act:
    return lambda page: page.locator(selector).first.click()


def hover(selector: str) -> Act:
    return lambda page: page.locator(selector).first.hover()


def refuse_label(page: Page) -> None:
    """Somebody else changes the label while its form is open here."""
    page.locator("#labels a", has_text="Edit").first.click()
    form = page.locator("#labels li form.write")
    form.locator("input[name=version]").evaluate("field => field.value = 0")
    form.locator("input[name=text]").fill("racket sports")
    if form.locator("input[name=author]:visible").count():
        form.locator("input[name=author]").fill("Rae")
    form.locator("button").click()
    page.locator("#labels .refused").wait_for()


def paste_labels(page: Page) -> None:
    page.locator("#pasted").fill("feature,text\n3,rackets and nets\n4,dates\n")
    page.locator("#import input[name=author]").fill("Rae")
    page.get_by_role("button", name="Show what would change").click()
    page.locator("#import .done").wait_for()


def type_words(page: Page) -> None:
    page.locator("#search").press_sequentially("tennis")
    page.locator("#found li").first.wait_for()


STATES: dict[str, tuple[str, Act | None]] = {
    "home": ("/", None),
    "dictionary": (f"{D}?sort=-max_activation", None),
    "filters": (f"{D}?token=the&min_density=0.1&max_density=20", None),
    "cards": (f"{D}?view=cards&sort=-density", None),
    "refused": (f"{D}?min_density=50&max_density=3", None),
    "no-match": (f"{D}?q=zzzzz", None),
    "feature": (D + "/features/{feature}", None),
    "value": (D + "/features/{feature}", hover(".examples .token.peak")),
    "meaning": (D + "/features/{feature}", click("aside .meaning summary")),
    "full": (D + "/features/{feature}?view=full&spaces=shown&heat=sentence", None),
    "lines": (D + "/features/{feature}?view=line", None),
    "strength": (D + "/features/{feature}?group=interval-3&bars=log", None),
    "contrast": (D + "/features/{feature}?group=contrast", None),
    "silent": (D + "/features/{feature}?group=silent", None),
    "conflict": (D + "/features/{feature}", refuse_label),
    "exchange": (f"{D}/exchange", paste_labels),
    "typed": (D, type_words),
    "copy": (D + "/features/{feature}/copy", None),
    "labels": (D + "/features/{feature}/labels", None),
    "embed": ("/embed" + D + "/features/{feature}", None),
    "sentence": (D + "/sentences/{sentence}?feature={feature}", None),
    "search": ("/search?q=tennis", None),
    "search-empty": ("/search", None),
    "search-none": ("/search?q=zzzzz", None),
    "live-start": (f"{D}/live", None),
    "live": (f"{D}/live?text={TEXT}&follow=" + "{feature}", None),
    "steer-start": (D + "/steer?feature={feature}", None),
    "steer": (D + "/steer?feature={feature}&strength=2&prompt=The+best+thing+about&max_new_tokens=30&run=whole", None),
    "attribute": (f"{D}/attribute?text=She+won+the+match+in", None),
    "find-start": (f"{D}/find", None),
    "find": (f"{D}/find", click(".tries a")),
    "try": (D + "/features/{feature}/try?text=She+won+the+match+in+straight+sets.", None),
    "keys": (D, press("?")),
    "definitions": ("/definitions", None),
    "api": ("/api/docs", None),
    "error": ("/nothing/here", None),
}
SIGNED: dict[str, tuple[str, Act | None]] = {
    "sign-in": ("/sign-in", None),
    "admin": ("/admin", None),
    "forbidden": ("/admin", None),
}
SIZES = {"wide": (1280, 900), "zoom": (640, 450), "phone": (390, 844), "small": (320, 640)}
TALLEST = 2400  # pixels of a page; what lies below is more of the same
ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", action="store_true")
    parser.add_argument("--only", default="", help="states, by comma")
    parser.add_argument("--sizes", default="wide,phone,small")
    parser.add_argument("--schemes", default="light,dark")
    parser.add_argument("--db", default="featurescope.db")
    asked = parser.parse_args()
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        database = copy(Path(asked.db), Path(folder))
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        with serving(database) as base:
            if asked.docs:
                shoot_docs(browser, base)
                return
            places = prepare(base)
            names = asked.only.split(",") if asked.only else [*STATES, *SIGNED]
            shooter = Shooter(browser, base, places, asked.sizes.split(","), asked.schemes.split(","))
            shooter.shoot({name: STATES[name] for name in names if name in STATES})
        signed = {name: SIGNED[name] for name in names if name in SIGNED}
        if signed:
            admin, reader = token(database, "Ada", "admin"), token(database, "Rae", "read")
            with serving(database, "--access", "token") as base:
                shooter.base = base
                for name, state in signed.items():
                    shooter.secret = {"admin": admin, "forbidden": reader}.get(name)
                    shooter.shoot({name: state})


def copy(database: Path, folder: Path) -> Path:
    if not database.is_file():
        sys.exit(f"{database} is not there: make run makes it.")
    with sqlite3.connect(database) as from_, sqlite3.connect(folder / "copy.db") as to:
        from_.backup(to)
    return folder / "copy.db"


@contextmanager
def serving(database: Path, *more: str) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    serve = [sys.executable, "-m", "app", "serve", "--warm", "--port", port, "--db", str(database)]
    server = subprocess.Popen([*serve, *more])
    try:
        base = f"http://127.0.0.1:{port}"
        for _ in range(3000):
            try:
                httpx.get(f"{base}/healthz", timeout=2)
            except httpx.TransportError:
                time.sleep(0.1)
            else:
                break
        yield base
    finally:
        server.terminate()
        server.wait()


def prepare(base: str) -> dict[str, str]:
    """Gives the feature of tennis that name; the places that addresses above have."""
    api = f"{base}/api/v1"
    found = httpx.get(f"{api}/search", params={"q": "tennis", "dictionary": "demo"}).json()["features"]
    feature = f"{found[0]['index'] if found else 12}"
    where = f"{api}{D}/features/{feature}"
    example = httpx.get(f"{where}/examples").json()["examples"][0]
    if not httpx.get(f"{where}/labels").json()["labels"]:
        httpx.post(f"{where}/labels", json={"text": "tennis", "author": "Ada"}).raise_for_status()
    return {"feature": feature, "sentence": str(example["sentence"])}


def token(database: Path, name: str, role: str) -> str:
    command = [sys.executable, "-m", "app", "tokens", "create", name, "--role", role, "--db", str(database)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]


def shoot_docs(browser: Browser, base: str) -> None:
    """The dictionary, and the first feature that numbers find, as they are: no label is made up for them."""
    found = httpx.get(f"{base}/api/v1/search", params={"q": "numbers", "dictionary": "demo"}).json()["features"]
    places = {"feature": str(found[0]["index"] if found else 12)}
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    for name in ("dictionary", "feature"):
        page.goto(base + STATES[name][0].format(**places), wait_until="networkidle")
        page.screenshot(path=str(ROOT / "docs" / "images" / f"{name}.png"))


class Shooter:
    """secret: the token to sign in with, where one is asked for."""

    def __init__(self, browser: Browser, base: str, places: dict[str, str], sizes: list[str], schemes: list[str]):
        self.browser, self.base, self.places, self.secret = browser, base, places, None
        self.looks = [(size, scheme) for size in sizes for scheme in schemes]
        self.folder = Path("screenshots")
        self.folder.mkdir(exist_ok=True)

    secret: str | None

    def shoot(self, states: dict[str, tuple[str, Act | None]]) -> None:
        for size, scheme in self.looks:
            width, height = SIZES[size]
            page = self.browser.new_page(
                viewport={"width": width, "height": height}, color_scheme="dark" if scheme == "dark" else "light"
            )
            if self.secret is not None:
                page.goto(f"{self.base}/sign-in")
                page.locator("#token").fill(self.secret)
                page.locator("main button").click()
                page.wait_for_url(re.compile(r"^(?!.*/sign-in)"))
            for name, (path, act) in states.items():
                page.goto(self.base + path.format(**self.places))
                if act is not None:
                    act(page)
                    page.wait_for_load_state("networkidle")
                tall = min(TALLEST, page.evaluate("document.documentElement.scrollHeight"))
                file = self.folder / f"{name}-{size}-{scheme}.png"
                page.screenshot(
                    path=str(file), full_page=True, clip={"x": 0, "y": 0, "width": width, "height": max(height, tall)}
                )
                print(file, flush=True)
            page.close()


if __name__ == "__main__":
    main()
