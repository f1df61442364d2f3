"""The log is read completely and once, in whatever order it comes, and an id leads to its webhook."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from localrun.template import Template
from relayctl.event_log import EventLog
from relayctl.listen import passes
from tests.rig import Rig
from tests.servers import aws_client, aws_error


@pytest.fixture
def log(rig: Rig) -> EventLog:
    """The log of a stack with all its groups, and nothing in them."""
    found = EventLog(rig.target())
    for group in found.groups:
        aws_client("logs").create_log_group(logGroupName=group)
        aws_client("logs").create_log_stream(logGroupName=group, logStreamName="one")
    return found


def write(log: EventLog, function: str, *, ago: float = 0, **fields: Any) -> None:
    """Have a function write a line about an event, so many seconds ago."""
    at = time.time() - ago
    said = {"message": "event", "outcome": "forwarded", "source": "kisi", "vendor": "kisi", "age_ms": 0}
    line = {**said, "timestamp": datetime.fromtimestamp(at, UTC).isoformat(), **fields}
    [group] = [group for group in log.groups if group.endswith(f"/{function}")]
    aws_client("logs").put_log_events(
        logGroupName=group,
        logStreamName="one",
        logEvents=[{"timestamp": round(at * 1000), "message": json.dumps(line)}],
    )


def test_groups_are_the_template_s(log: EventLog) -> None:
    """Every function whose events are logged has a group, under the name that is read."""
    groups = {function.log_group for function in Template().functions.values()}
    assert groups - set(log.groups) == {"/aws/lambda/calven-relay-local/pre-traffic"}
    assert set(log.groups) <= groups


def test_since(log: EventLog) -> None:
    """Lines of all functions come in order of time, without what is older and what is no event's."""
    write(log, "retry", ago=10, event_id="second")
    write(log, "hris", ago=20, event_id="first")
    write(log, "hris", ago=200, event_id="older")
    write(log, "hris", ago=15, message="reconciled")
    found = log.since(time.time() - 100)
    assert [event.event_id for event in found] == ["first", "second"]
    assert [event.event_id for event in log.since(time.time() - 100, time.time() - 15)] == ["first"]


def test_follow(log: EventLog) -> None:
    """Each line is given once, also one that appears later than a newer one."""
    follower = log.follow(time.time() - 100)
    write(log, "hris", ago=5, event_id="first")
    assert [event.event_id for event in follower.poll()] == ["first"]
    write(log, "retry", ago=20, event_id="late")
    write(log, "hris", ago=1, event_id="second")
    assert [event.event_id for event in follower.poll()] == ["late", "second"]
    assert follower.poll() == []


def test_find(log: EventLog) -> None:
    """An id leads to every line of its webhook, also where only its retry names it."""
    hour = 3600
    write(log, "hris", ago=30 * hour, correlation_id="d-1", event_id="e-1", envelope_id="v-1")
    write(log, "hris", ago=30 * hour, correlation_id="d-1", event_id="e-2")
    write(log, "hris", ago=30 * hour, correlation_id="d-2", event_id="e-3")
    calven = {"ids": ["fact-1"], "status": 200, "code": 0}
    again = {"correlation_id": "d-1", "envelope_id": "v-1", "calven": calven}
    write(log, "retry", ago=60, age_ms=30 * hour * 1000, **again)
    for name in ("fact-1", "fact", "e-2", "v-1", "d-1"):
        assert [event.function for event in log.find(name)] == ["hris", "hris", "retry"], name
    assert log.find("e-4") == []
    assert log.find('no {plain} "id"') == []


@pytest.mark.parametrize(
    ("code", "status", "passing"),
    [
        ("ThrottlingException", 400, True),
        ("InternalFailure", 500, True),
        ("AccessDeniedException", 400, False),
    ],
)
def test_errors_that_pass(code: str, status: int, *, passing: bool) -> None:
    """`listen` waits for throttling and AWS's own faults to pass, and not for a permission."""
    error = aws_error(code)
    error.response["ResponseMetadata"] = {"HTTPStatusCode": status}  # type: ignore[typeddict-item]
    assert passes(error) is passing
