"""Days that Calven refuses: only the leave that they are of becomes a dead letter."""

import json
from collections.abc import Collection
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx
import pytest

from relay.container import Container
from relay.envelope import Envelope
from relay.events import LeaveChange, iso
from tests.rig import NOON, Rig

pytestmark = pytest.mark.slow

REFUSED = "2026-12-01"


class Calven(httpx.BaseTransport):
    """Calven, which refuses whatever covers one day as some type: the request, or the event by its code."""

    def __init__(self, *, whole: bool) -> None:
        self.accepted: list[tuple[str, str]] = []
        self.refused_types: Collection[str] = ("holiday", "leave", "sick")
        self._whole = whole

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Give a token, or say what becomes of each event."""
        if request.url.path.endswith("/v1/auth"):
            return httpx.Response(200, json={"token": "token", "expiration": NOON * 1000 + 3_600_000})
        events = json.loads(request.read())["timeOffEvents"]
        refused = [event["eventId"] for event in events if self._refuses(event)]
        if refused and self._whole:
            return httpx.Response(400, json={"message": "refused"})
        taken = [event for event in events if event["eventId"] not in refused]
        self.accepted += [(event["startDate"], event["endDate"]) for event in taken]
        results = [{"eventId": e["eventId"], "resultCode": 3 * (e["eventId"] in refused)} for e in events]
        return httpx.Response(200, json={"results": results})

    def _refuses(self, event: dict[str, Any]) -> bool:
        covers = event["startDate"] <= REFUSED <= event["endDate"]
        return covers and event.get("timeOffType") in self.refused_types


def leave(number: int, start: str | None, end: str | None, **fields: Any) -> LeaveChange:
    """An approved leave of one employee, or what became of it."""
    return LeaveChange.model_validate(
        {
            "event_id": f"e{number}",
            "leave_id": f"L{number}",
            "state": "approved",
            "version": iso(NOON - 600 + number),
            "email": "sam@example.com",
            "start": start,
            "end": end,
            **fields,
        }
    )


def deliver(rig: Rig, relay: Container, change: LeaveChange) -> None:
    """Put a change into the queue, and have the retry function take it."""
    received_at = datetime.fromtimestamp(rig.clock(), UTC)
    envelope = Envelope(source="deel", vendor="deel", kind="time_off", received_at=received_at, event=change)
    relay.queues.retry_later([(envelope, 0)])
    rig.retry(relay)


@pytest.mark.parametrize("whole", [True, False], ids=["request", "code"])
def test_only_the_leave_at_fault(rig: Rig, whole: bool) -> None:
    """The days of another leave go to Calven and are no dead letter, also when they come again."""
    calven = Calven(whole=whole)
    relay = rig.beside(calven)
    add = partial(deliver, rig, relay)
    add(leave(1, REFUSED, "2026-12-02"))
    add(leave(2, "2026-12-10", "2026-12-11"))
    add(leave(2, "2026-12-10", "2026-12-11"))
    assert calven.accepted == [("2026-12-10", "2026-12-11")]
    letters = [(letter["event"]["leave_id"], letter["reason"]) for letter in rig.dead_letters()]
    assert letters == [("L1", "rejected")]


def test_own_days_again(rig: Rig) -> None:
    """Leave whose own days are refused is a dead letter each time, also behind another one."""
    calven = Calven(whole=True)
    relay = rig.beside(calven)
    add = partial(deliver, rig, relay)
    add(leave(2, "2026-12-10", "2026-12-11"))
    add(leave(1, REFUSED, "2026-12-02"))
    add(leave(1, REFUSED, "2026-12-02"))
    assert [letter["event"]["leave_id"] for letter in rig.dead_letters()] == ["L1", "L1"]


def test_days_that_come_back(rig: Rig) -> None:
    """A day that Calven will not have as another leave's again is a dead letter of the end, each time."""
    calven = Calven(whole=True)
    relay = rig.beside(calven)
    add = partial(deliver, rig, relay)
    calven.refused_types = ()
    add(leave(1, REFUSED, REFUSED, type_name="Vacation"))
    add(leave(2, REFUSED, REFUSED, type_name="Sick leave"))
    calven.refused_types = ("holiday",)
    end = leave(2, None, None, state="ended", version=iso(NOON - 60))
    add(end)
    add(end)
    assert [letter["event"]["leave_id"] for letter in rig.dead_letters()] == ["L2", "L2"]
