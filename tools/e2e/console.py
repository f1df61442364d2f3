"""The console of a deployed stack: who may open it, what its views show, and what it says AWS denies."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from urllib.parse import urlsplit

import httpx
from playwright.sync_api import Error, Locator, Page, sync_playwright

from console import away
from console.browser import chromium
from e2e.checks import Failed, Skipped, equal
from e2e.front import Front
from e2e.relay import RELAYCTL, Calven, Relay
from localrun.serve import Served

VIEWS = ("/", "/events", "/away", "/waiting", "/try")
LEVEL, AWAY = "sydney-l3", "Sam@example.com"
"""Where somebody is, and who is away, by the steps before."""
DENIED, PERMISSION = "AmazonSQS.ReceiveMessage", "sqs:ReceiveMessage"
SHOWN_SECONDS = 60.0
"""CloudWatch is asked every few seconds, and what failed is asked again after ten."""
_END_SECONDS = 20.0


def open_console(relay: Relay) -> str:
    """Nobody sees anything without the token; whoever has opened the page with it has a cookie afterwards."""
    with _running(relay) as url, httpx.Client(trust_env=False, timeout=SHOWN_SECONDS) as browser:
        page = urlsplit(url)._replace(query="")
        equal("without a token", browser.get(page.geturl()).status_code, 403)
        equal("with another token", browser.get(f"{page.geturl()}?token=guessed").status_code, 403)
        opened = browser.get(url)
        equal("with the token", (opened.status_code, opened.headers.get("location")), (303, "/"))
        answers = {path: browser.get(page._replace(path=path).geturl()).status_code for path in VIEWS}
        equal("the views with the cookie", answers, dict.fromkeys(VIEWS, 200))
        told = browser.get(page.geturl(), headers={"host": "relay.example.com"}).status_code
        equal("by another name of this machine", told, 403)
    return f"403 without the token, {len(VIEWS)} views with the cookie, ended by a signal"


def look_at_views(relay: Relay) -> str:
    """The views show what Calven and the queues hold, and the one whose permission is missing names it."""
    if relay.deployment is None or relay.calven is None:
        raise Skipped("plays a permission that is missing: on the emulator only")
    executable = chromium()
    if executable is None:
        raise Skipped("there is no Chromium: make browser")
    if relay.letter is None:
        raise Skipped("there is no dead letter to be shown")
    front = Front(os.environ["AWS_ENDPOINT_URL"])
    front.denied = DENIED
    with (
        Served(front) as aws,
        _running(relay, {"AWS_ENDPOINT_URL": aws}) as url,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        try:
            context = browser.new_context()
            context.set_default_timeout(SHOWN_SECONDS * 1000)
            return _looked(relay, relay.calven, context.new_page(), url, front)
        except Error as error:
            raise Failed(f"the console does not show it: {error.message}") from None
        finally:
            browser.close()


def _looked(relay: Relay, calven: Calven, page: Page, url: str, front: Front) -> str:
    base, state = urlsplit(url)._replace(query="", path="").geturl(), calven.state()
    page.goto(url)
    _is_live(page)
    equal("the address once the page is open", page.url, f"{base}/")
    people = state["occupancy"][relay.settings.places[LEVEL].location_id]["occupancy"]
    equal(f"count of {LEVEL}", page.get_by_test_id(f"place-{LEVEL}").inner_text(), f"{people:g}")
    page.goto(f"{base}/events")
    page.get_by_test_id("event-row").filter(has_text="forwarded").first.wait_for()
    page.goto(f"{base}/away")
    _is_live(page)
    _look_for_leave(page, min(state["away"][AWAY]))
    page.goto(f"{base}/waiting")
    page.get_by_role("status").get_by_text(f"AWS denies {PERMISSION}").first.wait_for()
    front.denied = ""
    page.get_by_test_id("letter-row").filter(has_text=str(relay.letter)[:12]).wait_for()
    _is_live(page)
    return f"{people:g} on {LEVEL}, events, leave, the dead letter; {PERMISSION} named while it was denied"


def _look_for_leave(page: Page, day: str) -> None:
    """Turn to the four weeks in which Calven has somebody away, and wait until the page says so."""
    monday = away.monday(date.today())  # noqa: DTZ011 - the operator's own day, as the page has it
    turns = (date.fromisoformat(day) - monday).days // away.DAYS
    for _ in range(abs(turns)):
        page.get_by_role("button", name="Later" if turns > 0 else "Earlier").click()
    page.get_by_test_id(f"away-{AWAY}-{day}").wait_for()


def _is_live(page: Page) -> None:
    live: Locator = page.get_by_role("status").get_by_text("live")
    live.first.wait_for()


@contextmanager
def _running(relay: Relay, changed: Mapping[str, str] | None = None) -> Iterator[str]:
    """`relayctl console` for the stack; the URL that it prints. Raises `Failed` unless it ends in order."""
    command = [str(RELAYCTL), "--stack", relay.stack, "console", "--port", "0"]
    with subprocess.Popen(
        command, env={**os.environ, **(changed or {})}, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            printed = process.stdout.readline()
            if not printed:
                raise Failed(f"relayctl console ended with {process.wait()}")
            yield printed.split()[0]
        finally:
            process.send_signal(signal.SIGTERM)
            code = _ended(process)
    equal("the console's exit code", code, 0)


def _ended(process: subprocess.Popen[str]) -> int:
    try:
        return process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
