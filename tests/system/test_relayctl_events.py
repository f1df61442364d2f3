"""`relayctl listen` and `trace` on a local run: what an operator sees of events, live and afterwards."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse

from localrun.log_groups import LogGroups
from localrun.serve import Served
from relayctl.event_log import EventLog
from relayctl.send import Sent, send_event
from relayctl.target import Target, local
from relayctl.tracing import trace
from tests.processes import killed_afterwards
from tests.system.test_end_to_end import Run

pytestmark = pytest.mark.slow

# Whoever started the tests may have ignored SIGINT, which children inherit.
LISTEN = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from relayctl.main import main
main()
"""


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """One run for all tests."""
    with Run() as started:
        yield started


@pytest.fixture
def target(run: Run) -> Target:
    """The run, as commands see it."""
    return local(run.url)


def until(found: Callable[[], Any], seconds: float = 60) -> Any:
    """What is found once there is something."""
    end = time.monotonic() + seconds
    while not (result := found()):
        assert time.monotonic() < end
        time.sleep(0.2)
    return result


def send(target: Target, vendor: str, event: str | None = None) -> Sent:
    """What `relayctl send` does, without the time that its process takes to start."""
    return send_event(target, vendor, event, source=None, url=None, as_is=False)


def traced(target: Target, name: str) -> dict[str, Any]:
    """What `trace --json` prints of one event."""
    [event] = trace(target, name).as_dict()["events"]
    assert isinstance(event, dict)
    return event


def names(event: dict[str, Any]) -> list[str]:
    """The names of its steps."""
    return [step["step"] for step in event["steps"]]


def line_of(target: Target, **wanted: str) -> Any:
    """The event of the log that has these fields, once it is there."""

    def found() -> Any:
        events = EventLog(target).since(time.time() - 3600)
        return [e for e in events if all(getattr(e, name) == value for name, value in wanted.items())]

    return until(found)[-1]


def ids_of(target: Target, source: str, least: int) -> set[str]:
    """The ids of a source's events in the log, once there are so many."""
    events = [event for event in EventLog(target).since(time.time() - 3600) if event.source == source]
    ids = {name for event in events for name in event.ids}
    return ids if len(ids) >= least else set()


def test_way_of_a_queued_event(run: Run, target: Target) -> None:
    """An event that Calven did not take is traced through its retry to its arrival, by every id it has."""
    run.sandbox.post("/_sandbox/fail", json={"mode": "503"}).raise_for_status()
    try:
        assert send(target, "hibob").status == 202
        queued = line_of(target, source="hibob", outcome="queued")
    finally:
        run.sandbox.delete("/_sandbox/fail")
    line_of(target, source="hibob", outcome="forwarded")
    for name in (queued.correlation_id, queued.envelope_id, queued.event_id, queued.envelope_id[:10]):
        event = traced(target, name)
        assert event["now"]["place"] == "calven"
        assert names(event)[:6] == ["received", "verified", "parsed", "mapped", "answered", "queued"]
        assert names(event)[-4:] == ["tried", "mapped", "answered", "forwarded"]
        answers = [step["text"] for step in event["steps"] if step["step"] == "answered"]
        assert (answers[0], answers[-1]) == ("Calven 503", "Calven 200, code 0")


def test_way_of_a_dead_letter(run: Run, target: Target) -> None:
    """A dead letter is found in its queue with its reason, and its redrive is a step of its way."""
    assert "unmapped_door" in send(target, "kisi", "unmapped-door").answer
    dead = line_of(target, outcome="dead-lettered")
    event = traced(target, dead.envelope_id[:8])
    assert (event["now"]["place"], event["what"]) == ("dead-letter", "badge at door 99001")
    assert names(event) == ["received", "verified", "parsed", "dead-lettered"]
    assert run.command("--local", "dlq", "redrive", "--id", dead.envelope_id).exit_code == 1
    line_of(target, outcome="dead-lettered", function="retry")
    event = traced(target, dead.correlation_id)
    assert names(event)[3:6] == ["dead-lettered", "redriven", "tried"]
    assert event["now"]["place"] == "dead-letter"


def test_several_events(run: Run, target: Target) -> None:
    """A webhook's events are traced together; the beginning of several ids names these."""
    send(target, "generic", "badges")
    delivery = line_of(target, source="generic").correlation_id
    printed = run.command("--local", "trace", delivery)
    assert printed.stdout.count("now: at Calven") > 1
    assert "badge in at" in printed.stdout
    # More than sixteen ids of hexadecimal digits: two of them begin with the same one.
    for _ in range(17):
        send(target, "kisi")
    ids = until(lambda: ids_of(target, "kisi-sydney", 17))
    start = next(a[0] for a in ids if sum(b.startswith(a[0]) for b in ids) > 1)
    printed = run.command("--local", "trace", start)
    assert printed.exit_code == 1
    assert "may be any of" in printed.stderr


def test_nothing_has_the_id(run: Run) -> None:
    """What nothing has is said with where it was looked for, in both queues too."""
    printed = run.command("--local", "--json", "trace", "no-such-id")
    assert (printed.exit_code, json.loads(printed.stdout)["events"]) == (1, [])
    for place in ("/aws/lambda/calven-relay-local/hris", "dead-letter queue", "Unprocessed queue"):
        assert place in printed.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_listen(run: Run, target: Target, tmp_path: Path, number: int) -> None:
    """Events appear as they come, in words or as JSON, and a signal ends it in order."""
    path = tmp_path / "out"
    as_json = ["--json"] if number == signal.SIGTERM else []
    arguments = ["--local", *as_json, "listen", "--since", "0s", "--source", "kisi-sydney"]
    with (
        path.open("w") as out,
        subprocess.Popen(
            [sys.executable, "-c", LISTEN, *arguments],
            env={**run.environment, "FORCE_COLOR": "1"},
            stdout=out,
            stderr=subprocess.PIPE,
        ) as process,
        killed_afterwards(process),
    ):
        try:

            def shown() -> list[str]:
                for vendor, event in (("verkada", None), ("kisi", "badge-out"), ("kisi", "badge-in")):
                    send(target, vendor, event)
                return [line for line in path.read_text("utf-8").splitlines() if "forwarded" in line]

            first = until(shown)[0]
        finally:
            process.send_signal(number)
            _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, b"")
    if as_json:
        event = json.loads(first)
        assert (event["source"], event["outcome"]) == ("kisi-sydney", "forwarded")
        assert event["text"] in ("badge in at Lobby in", "badge out at Lobby out")
        assert (event["calven"]["status"], event["calven"]["code"]) == (200, 0)
    else:
        for text in ("kisi-sydney", "at Lobby", "forwarded, Calven 200, code 0", " → "):
            assert text in first
        assert "\033[" not in first
        assert "verkada" not in path.read_text("utf-8")


def test_log_groups_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group keeps its newest lines, and gives them a page at a time."""
    monkeypatch.setattr("localrun.log_groups.MOST_LINES", 5)
    monkeypatch.setattr("localrun.log_groups._PAGE", 2)
    with Served(LogGroups(PlainTextResponse("not about the log"))) as url:

        def call(operation: str, **asked: Any) -> Any:
            headers = {"x-amz-target": f"Logs_20140328.{operation}"}
            return httpx.post(url, json=asked, headers=headers, trust_env=False).json()

        for number in range(8):
            call("PutLogEvents", logGroupName="g", logEvents=[{"timestamp": number, "message": str(number)}])
        found: list[str] = []
        token: dict[str, str] = {}
        while True:
            page = call("FilterLogEvents", logGroupName="g", startTime=4, **token)
            found += [event["message"] for event in page["events"]]
            if "nextToken" not in page:
                break
            token = {"nextToken": page["nextToken"]}
    assert found == ["4", "5", "6", "7"]
