"""The console in a real Chromium, before a real `make run`: what happens is seen, what is clicked is done."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from console.browser import chromium
from localrun.made_up import badge, leave, post
from localrun.serve import bind
from relayctl import dead_letters
from relayctl import target as relayctl_target
from tests.processes import killed_afterwards
from tests.timed import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = chromium()
pytestmark = [
    pytest.mark.no_cover,
    pytest.mark.slow,
    pytest.mark.xdist_group("console"),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: make browser"),
]
SECONDS = 30.0
"""So long a page may take on a machine that does other things too."""


@dataclass(frozen=True)
class Local:
    """A local relay and its console, by their URLs."""

    url: str
    console: str

    @property
    def sandbox(self) -> str:
        """The Calven sandbox."""
        found: str = httpx.get(f"{self.url}/_local").json()["sandbox_url"]
        return found


@contextmanager
def free_ports() -> Iterator[tuple[int, int]]:
    """Two ports that were free a moment ago."""
    sockets = [bind(), bind()]
    first, second = (sock.getsockname()[1] for sock in sockets)
    for sock in sockets:
        sock.close()
    yield first, second


@pytest.fixture(scope="module")
def local() -> Iterator[Local]:
    """`relayctl local`, with a console."""
    with free_ports() as (port, console_port):
        environment = {**os.environ, "PORT": str(port), "CONSOLE_PORT": str(console_port)}
    environment["RETRY_BASE_SECONDS"] = "1"
    command = [str(Path(sys.executable).with_name("relayctl")), "local"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        said = []
        for line in process.stdout:
            said.append(line.strip())
            if said[-1] == "ready":
                break
        url = f"http://127.0.0.1:{console_port}"
        assert said[said.index("console:") + 1] == url
        yield Local(f"http://127.0.0.1:{port}", url)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=SECONDS)
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Chromium."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - it is there only with `make test`

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser: "Browser", local: Local) -> Iterator["Page"]:
    """A window that has seen no error by the end."""
    from playwright.sync_api import expect  # noqa: PLC0415

    expect.set_options(timeout=SECONDS * 1000)
    context = browser.new_context(base_url=local.console)
    context.set_default_timeout(SECONDS * 1000)
    found = context.new_page()
    errors: list[str] = []
    found.on("pageerror", lambda error: errors.append(str(error)))
    yield found
    context.close()
    assert errors == []


def shows(page: "Page", testid: str, words: str) -> None:
    """Wait until an element has that text."""
    from playwright.sync_api import expect  # noqa: PLC0415

    expect(page.get_by_test_id(testid).first).to_have_text(words)


def is_live(page: "Page") -> None:
    """Wait until everything on a page has been read."""
    page.get_by_role("status").get_by_text("live").first.wait_for()


SYDNEY = ("place-sydney-l3", "place-sydney")


def test_badge_counts(page: "Page", local: Local) -> None:
    """A badge raises the counts of its places, which Calven is told; then the event can be opened."""
    page.goto("/")
    is_live(page)
    # Somebody of another test may be in already.
    inside = {place: int(page.get_by_test_id(place).inner_text()) for place in SYDNEY}
    post(local.url, "access-control", badge("ada@example.com"))
    for place in SYDNEY:
        shows(page, place, str(inside[place] + 1))
    row = page.get_by_role("row", name="sydney-l3")
    row.get_by_text("told", exact=True).wait_for()
    row.locator("svg").wait_for()
    page.goto("/events")
    row = page.get_by_test_id("event-row").filter(has_text="badge in at door north").first
    row.get_by_text("forwarded").wait_for()
    row.click()
    trace = page.get_by_test_id("event-trace")
    trace.get_by_text("now at Calven").wait_for()
    assert "ada@" not in page.content()


def test_leave_on_its_days(page: "Page", local: Local) -> None:
    """Leave is shown on each of its days and on no other, and a search leaves others out."""
    today = date.today()  # noqa: DTZ011 - the operator's own
    start = today - timedelta(days=today.weekday()) + timedelta(days=8)
    page.goto("/away")
    is_live(page)
    post(local.url, "hris", leave("mia@example.com", start, 3))
    post(local.url, "hris", leave("leo@example.com", start, 1))
    for number in range(3):
        shows(page, f"away-mia@example.com-{start + timedelta(days=number)}", "L")
    found = page.locator('[data-testid^="away-mia@example.com"]')
    assert found.count() == 3
    assert found.first.get_attribute("data-state") == "confirmed"
    page.get_by_test_id(f"away-leo@example.com-{start}").wait_for()
    page.get_by_label("Address").fill("mia")
    page.get_by_test_id(f"away-leo@example.com-{start}").wait_for(state="detached")
    page.get_by_role("button", name="Later").click()
    page.get_by_text("in these four weeks").wait_for()


def test_outage(page: "Page", local: Local) -> None:
    """Calven is broken, an event waits; Calven is mended, and it arrives."""
    page.goto("/try")
    is_live(page)
    page.get_by_test_id("calven-fault").click()
    page.get_by_text("Calven answers 503").first.wait_for()
    page.get_by_test_id("send-vendor").select_option("hibob")
    page.get_by_test_id("send-event").select_option("approved")
    page.get_by_test_id("send").click()
    page.get_by_role("cell", name="202").wait_for()
    page.goto("/waiting")
    page.get_by_role("row", name="calven_unavailable").wait_for()
    page.goto("/try")
    page.get_by_test_id("calven-mend").click()
    page.get_by_text("Calven answers as it should").wait_for()
    page.goto("/waiting")
    page.get_by_text("nothing waits").wait_for()
    page.goto("/events")
    arrived = page.get_by_test_id("event-row").filter(has_text="hibob").filter(has_text="forwarded")
    arrived.first.wait_for()


def test_redrive(page: "Page", local: Local) -> None:
    """A dead letter is redriven with a click, after a question, and what became of it is said."""
    httpx.post(f"{local.sandbox}/_sandbox/unknown", json={"users": ["zoe@example.com"]})
    post(local.url, "hris", leave("zoe@example.com", date.today(), 1))  # noqa: DTZ011
    page.goto("/waiting")
    row = page.get_by_test_id("letter-row")
    row.wait_for()
    # The first `redrive` of the page is a letter's: that for all of a reason goes by another name.
    assert page.get_by_test_id("redrive").count() == page.get_by_test_id("redrive-reason").count() == 1
    assert page.get_by_test_id("redrive").inner_text() == "Redrive"
    row.click()
    page.get_by_text("relayctl dlq show").wait_for()
    assert "zoe@example.com" not in page.content()
    httpx.post(f"{local.sandbox}/_sandbox/unknown", json={"users": []})
    page.get_by_test_id("redrive").first.click()
    page.get_by_text("Redrive the letter").wait_for()
    page.get_by_role("dialog").get_by_role("button", name="Redrive").click()
    page.get_by_text("1 letter sent through the relay again").wait_for()
    page.get_by_role("dialog").get_by_text("went through").or_(
        page.get_by_role("dialog").get_by_text("forwarded")
    ).first.wait_for()
    page.get_by_role("button", name="Close").click()
    page.get_by_text("no dead letter").wait_for()


MANY = 2000


def test_many_letters(page: "Page", local: Local) -> None:
    """Of two thousand letters it is said how many there are, all are shown, and one can be opened."""
    from playwright.sync_api import expect  # noqa: PLC0415

    target = relayctl_target.local(local.url)
    sqs, url = target.client("sqs"), target.dead_letter_queue_url
    # Another test may have left some.
    there = sum(dead_letters.numbers(sqs, url))
    try:
        for start in range(there, MANY, 10):
            texts = enumerate(map(a_letter, range(start, min(start + 10, MANY))))
            sqs.send_message_batch(
                QueueUrl=url, Entries=[{"Id": str(i), "MessageBody": text} for i, text in texts]
            )
        page.goto("/waiting")
        page.get_by_text("2,000 letters").wait_for()
        expect(page.get_by_test_id("letter-row")).to_have_count(MANY)
        is_live(page)
        page.get_by_test_id("letter-row").last.click()
        page.get_by_text("relayctl dlq show").wait_for()
    finally:
        sqs.purge_queue(QueueUrl=url)
    page.get_by_text("no dead letter").wait_for()


def a_letter(number: int) -> str:
    """A dead letter of one of four reasons."""
    reason = ("unmapped_door", "unknown_user", "rejected", "stale_time")[number % 4]
    received_at = f"2026-11-04T00:{number // 60:02}:{number % 60:02}Z"
    event = {"form": "badge", "door": str(number), "direction": "in"}
    detail = f"door {number} is in no place"
    said = {"id": uuid4().hex, "reason": reason, "source": "generic", "vendor": "generic", "detail": detail}
    return json.dumps({**said, "received_at": received_at, "correlation_id": uuid4().hex, "event": event})


# Whoever started the tests may have ignored SIGINT, which children inherit.
CONSOLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from relayctl.main import main
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_command_ends_in_order(local: Local, number: int) -> None:
    """`relayctl console` beside that of `make run` ends with a signal, says nothing, and exits 0."""
    environment = {**os.environ, "PORT": local.url.rpartition(":")[2]}
    with (
        subprocess.Popen(
            [sys.executable, "-c", CONSOLE, "console", "--port", "0"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
        killed_afterwards(process),
    ):
        assert process.stdout is not None
        url = process.stdout.readline().split()[0]
        wait_until(lambda: answers(url))
        process.send_signal(number)
        _, said = process.communicate(timeout=SECONDS)
    assert (process.returncode, said) == (0, "")


def answers(url: str) -> bool:
    """Whether somebody answers at a URL."""
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def test_keyboard(page: "Page", local: Local) -> None:
    """An event is opened and closed, and another view reached, without a mouse."""
    post(local.url, "access-control", badge("kay@example.com"))
    page.goto("/events")
    row = page.get_by_test_id("event-row").first
    row.focus()
    page.keyboard.press("Enter")
    page.get_by_test_id("event-trace").wait_for()
    page.keyboard.press("Enter")
    page.get_by_test_id("event-trace").wait_for(state="detached")
    page.get_by_role("link", name="Now").focus()
    page.keyboard.press("Enter")
    page.get_by_test_id("place-sydney").wait_for()


def test_nobody_else(local: Local) -> None:
    """Another name in `Host`, and another page's `Origin`, get nothing."""
    refused: list[dict[str, str]] = [{"host": "evil.example"}, {"origin": "http://evil.example"}]
    answers: list[Any] = [httpx.get(local.console, headers=headers) for headers in refused]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert httpx.get(local.console).headers["x-frame-options"] == "DENY"
