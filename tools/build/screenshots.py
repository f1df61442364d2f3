"""`make screenshots`: pictures of the console for the documents, of a local relay with made-up people.

It needs Chromium. With a folder as argument it takes pictures of every view: light, dark, on a phone.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from console.browser import chromium
from localrun.made_up import badge, leave, post
from localrun.serve import bind
from localrun.settings import DEMO

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
SHOWN = ("now", "away", "waiting")
"""The views in the documents."""
VIEWS = {"now": "/", "events": "/events", "away": "/away", "waiting": "/waiting", "try": "/try"}
MODES = {"light": (1280, 800), "dark": (1280, 800), "phone": (390, 844)}
NAMES = ("ada", "ben", "cleo", "dan", "eli", "fay", "gus", "hana", "ivo", "jo")
PEOPLE = [f"{name}@example.com" for name in NAMES]


def configured(folder: Path) -> Path:
    """The demo's configuration, in which the people's sick leave is sick leave."""
    text = (DEMO / "relay.yaml").read_text("utf-8")
    path = folder / "relay.yaml"
    path.write_text(text.replace("{Vacation: holiday}", "{Vacation: holiday, Sick: sick}"), "utf-8")
    return path


@contextmanager
def relay() -> Iterator[tuple[str, str]]:
    """A local relay of its own: where it and its console are."""
    sockets = [bind(), bind()]
    port, console_port = (sock.getsockname()[1] for sock in sockets)
    for sock in sockets:
        sock.close()
    with TemporaryDirectory() as folder:
        environment = {**os.environ, "PORT": str(port), "CONSOLE_PORT": str(console_port)}
        environment |= {"RETRY_BASE_SECONDS": "60", "RELAY_CONFIG": str(configured(Path(folder)))}
        with running(environment):
            yield f"http://127.0.0.1:{port}", f"http://127.0.0.1:{console_port}"


@contextmanager
def running(environment: dict[str, str]) -> Iterator[None]:
    """`relayctl local`, once it is ready."""
    command = [str(Path(sys.executable).with_name("relayctl")), "local"]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    try:
        for line in process.stdout:
            if line.strip() == "ready":
                break
        yield
    finally:
        process.terminate()
        process.communicate(timeout=20)


def fill(url: str) -> None:
    """A morning of badges, some leave, and some events that cannot go on."""
    chance, today = Random(7), date.today()  # noqa: DTZ011, S311 - days as the page shows them
    kinds = ("Vacation", "Sick", "Study")
    for number, person in enumerate(PEOPLE):
        post(url, "access-control", badge(person, minutes=chance.randrange(10, 90)))
        start = today + timedelta(days=chance.randrange(20) - today.weekday())
        post(url, "hris", leave(person, start, chance.randrange(1, 8), kinds[number % 3]))
    for number, person in enumerate(PEOPLE[:3]):
        post(url, "access-control", badge(person, direction="out", minutes=2))
        post(url, "access-control", badge(person, f"side-{number}"))
    calven = httpx.get(f"{url}/_local").json()["sandbox_url"]
    httpx.post(f"{calven}/_sandbox/fail", json={"mode": "503"})
    post(url, "hris", leave("kim@example.com", today + timedelta(days=3), 3, "Vacation"))
    post(url, "access-control", badge("lee@example.com"))


def shoot(browser: Browser, url: str, view: str, mode: str, path: Path) -> None:
    """Take a picture of a view once it is live."""
    width, height = MODES[mode]
    scheme: Any = "dark" if mode == "dark" else "light"
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    page.goto(url + VIEWS[view])
    until_live(page)
    page.screenshot(path=path)
    context.close()
    print(f"wrote {path}")


def until_live(page: Page) -> None:
    """Wait until everything on a page has been read."""
    page.get_by_role("status").get_by_text("live").first.wait_for()
    time.sleep(1)


def main() -> int:
    """Take the pictures; exit code 1 where there is no Chromium."""
    found = chromium()
    if found is None:
        print("there is no Chromium: make browser", file=sys.stderr)
        return 1
    with relay() as (url, console), sync_playwright() as playwright:
        fill(url)
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        if len(sys.argv) > 1:
            for view in VIEWS:
                for mode in MODES:
                    shoot(browser, console, view, mode, Path(sys.argv[1]) / f"{view}-{mode}.png")
        else:
            IMAGES.mkdir(exist_ok=True)
            for view in SHOWN:
                shoot(browser, console, view, "light", IMAGES / f"console-{view}.png")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
