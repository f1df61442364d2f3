"""A line of the log says what an operator asks of an event: what it was, what Calven said, what changed."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from relay.deadline import BATCH, Deadline
from relay.delivery.outcome import Outcome, log
from relay.envelope import Envelope
from relay.events import LeaveChange
from relay.invocation import Invocation
from relay.observability import Telemetry
from tests.rig import Rig, sample

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(printed: Callable[[], str]) -> Lines:
    """The lines about events since the last look."""

    def found() -> list[dict[str, Any]]:
        parsed = [json.loads(line) for line in printed().splitlines()]
        return [line for line in parsed if line.get("message") == "event"]

    return found


def test_badge(rig: Rig, lines: Lines) -> None:
    """A badge's line has its door, the counts, what Calven was sent and said, and the steps."""
    rig.post("kisi", "badge-in")
    [line] = lines()
    assert line["what"] == {"form": "badge", "door": "48211"}
    assert line["counts"] == {"sydney-l3": [0, 1], "sydney": [0, 1]}
    [request] = rig.requests("/v1/occupancy")
    sent = [event["eventId"] for event in request["body"]["occupancyEvents"]]
    assert line["calven"] == {"ids": sent, "status": 200, "code": 0}
    assert list(line["steps"]) == ["verified", "parsed", "settled", "answered"]
    assert (line["answer"], line["took_ms"], "of" in line, "envelope_id" in line) == (200, 0, False, False)


def test_queued_badge(rig: Rig, lines: Lines) -> None:
    """The counts changed once, when it was settled; its retry says what it told, of the same envelope."""
    rig.fail("503")
    rig.post("kisi", "badge-in")
    [first] = lines()
    assert (first["outcome"], first["calven"]["status"], "code" in first["calven"]) == ("queued", 503, False)
    assert (first["what"]["door"], first["counts"]["sydney"], first["answer"]) == ("48211", [0, 1], 202)
    rig.recover()
    rig.retry(age=30)
    [second] = lines()
    assert (second["outcome"], second["counts"]) == ("forwarded", {"sydney-l3": [1], "sydney": [1]})
    assert second["calven"]["ids"] == first["calven"]["ids"]
    assert second["envelope_id"] == first["envelope_id"]
    assert second["waited_ms"] == 30_000
    assert list(second["steps"]) == ["parsed", "settled", "answered"]


def test_no_answer(rig: Rig, lines: Lines) -> None:
    """Where Calven did not answer there is no status, and its ids say that it was asked."""
    rig.fail("reset")
    rig.post("kisi", "badge-in")
    [line] = lines()
    assert set(line["calven"]) == {"ids"}


def test_refused_leave(rig: Rig, lines: Lines) -> None:
    """A leave's line has its state and days; what Calven refused, its result code."""
    rig.refuse(users=["robin@example.com"])
    event = sample("deel", "approved", data__resource__requester__work_email="robin@example.com")
    rig.post("deel", event)
    [line] = lines()
    assert (line["outcome"], line["reason"]) == ("dead-lettered", "unknown_user")
    assert (line["what"]["form"], line["what"]["state"]) == ("leave", "approved")
    assert set(line["what"]) == {"form", "state", "start", "end"}
    assert (line["calven"]["status"], line["calven"]["code"]) == (200, 1)


def test_several(rig: Rig, lines: Lines) -> None:
    """The events of one webhook say how many they are."""
    rig.post("generic", "badges")
    found = lines()
    assert {line["of"] for line in found} == {len(found)}


def test_days_are_days(rig: Rig, lines: Lines) -> None:
    """A text that a vendor has in the place of a day is not logged."""
    change = LeaveChange(
        event_id="e", leave_id="l", state="ended", version="1", start="robin@exam", end="2027-03-02"
    )
    _log(rig, Outcome("ignored", _envelope(rig, change), "unchanged"))
    [line] = lines()
    assert line["what"] == {"form": "leave", "state": "ended", "end": "2027-03-02"}


@pytest.mark.parametrize(
    ("told", "logged"),
    [
        ("code 1: no user Robin@example.com.", "code 1: no user (address)"),
        ("code 1: <robin@example.com>, sam@example.com: unknown", "code 1: <(address)>, (address): unknown"),
        ("code 3: past @ noon", "code 3: past @ noon"),
    ],
)
def test_nobody_is_named(rig: Rig, lines: Lines, told: str, logged: str) -> None:
    """What Calven says of an event may name whose it is: the dead letter keeps that, and no log line."""
    change = LeaveChange(event_id="e", leave_id="l", state="approved", version="1")
    dead = _envelope(rig, change).model_copy(update={"detail": told})
    _log(rig, Outcome("dead-lettered", dead, "unknown_user"))
    [line] = lines()
    assert line["detail"] == logged


def _envelope(rig: Rig, change: LeaveChange) -> Envelope:
    received_at = datetime.fromtimestamp(rig.clock(), UTC)
    return Envelope(source="deel", vendor="deel", kind="time_off", received_at=received_at, event=change)


def _log(rig: Rig, outcome: Outcome) -> None:
    deadline = Deadline(rig.clock() + 5, rig.clock)
    log(outcome, Invocation(rig.relay, deadline, Telemetry("request-1"), BATCH))


def test_ping(rig: Rig, lines: Lines) -> None:
    """What brings no event has a line too, by the id that its sender got, and counts as none."""
    rig.post("hibob", "ping")
    [line] = lines()
    assert (line["outcome"], line["reason"], line["request_id"]) == ("ignored", "ping", "request-1")
