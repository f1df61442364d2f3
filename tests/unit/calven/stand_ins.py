"""A Calven that answers as it is told, and what is submitted to it."""

import json
import time
from typing import Any

import httpx

from relay.calven import CalvenEvent, Result
from relay.deadline import Deadline
from tests.rig import Clock

KEY, SECRET = "55DE3799-key", "s3cret-of-the-key"
CREDENTIALS = {"apiKey": KEY, "apiSecret": SECRET}
LIFETIME = 3600

Reply = httpx.Response | Exception


class FakeCalven:
    """Calven without a wire: it accepts everything, but for the replies that a test scripts for a path."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.requests: list[httpx.Request] = []
        self.script: dict[str, list[Reply]] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        self.requests.append(request)
        path = request.url.path
        if scripted := self.script.get(path):
            reply = scripted.pop(0)
            if isinstance(reply, Exception):
                raise reply
            return reply
        if path == "/v1/auth":
            return httpx.Response(200, json={"token": "t", "expiration": self._clock() + LIFETIME})
        if path == "/v1/auth/token":
            return httpx.Response(200, json={"access_token": "t", "expires_in": LIFETIME})
        return results(*((event["eventId"], 0) for event in events_of(request)))

    def reply(self, path: str, *replies: Reply | int) -> None:
        """Answer the next requests to a path with these; a number is a status."""
        self.script[path] = [httpx.Response(r) if isinstance(r, int) else r for r in replies]

    def paths(self) -> list[str]:
        """Where the requests went, in order."""
        return [request.url.path.removeprefix("/v1/") for request in self.requests]


def events_of(request: httpx.Request) -> list[dict[str, Any]]:
    """The events in a request."""
    body = json.loads(request.content)
    events: list[dict[str, Any]] = body.get("occupancyEvents") or body["timeOffEvents"]
    return events


def results(*codes: tuple[str, int]) -> httpx.Response:
    """Calven's 200 with a result for each event."""
    found = [{"eventId": event_id, "resultCode": code, "message": f"code {code}"} for event_id, code in codes]
    return httpx.Response(200, json={"timestamp": "2026-11-04T04:00:00.000Z", "results": found})


def occupancy(event_id: str, source: str = "Lobby", **changes: Any) -> CalvenEvent:
    """One occupancy event."""
    payload = {
        "timestamp": "2026-11-04T04:00:00.000Z",
        "locationId": "D0FA9F18",
        "locationType": "level",
        "eventId": event_id,
        "occupied": True,
        "occupancy": 3,
    }
    return CalvenEvent(
        endpoint="/v1/occupancy", event_id=event_id, payload=payload | changes, source_id=source
    )


def leave(event_id: str, not_after: float = float("inf"), **changes: Any) -> CalvenEvent:
    """One time off event."""
    payload = {
        "eventId": event_id,
        "email": "bob@example.com",
        "eventType": "scheduled",
        "startDate": "2026-12-30",
        "endDate": "2027-01-02",
    }
    return CalvenEvent(
        endpoint="/v1/timeoff", event_id=event_id, payload=payload | changes, not_after=not_after
    )


def statuses(found: dict[str, Result]) -> dict[str, tuple[str, str]]:
    """Status and reason of each event."""
    return {event_id: (result.status, result.reason) for event_id, result in found.items()}


def in_time(seconds: float = 5) -> Deadline:
    """A deadline of the real clock."""
    return Deadline(time.time() + seconds)


ACCEPTED = ("accepted", "")
UNAVAILABLE = ("waiting", "calven_unavailable")
CONFIGURATION = ("waiting", "calven_configuration")


def seen(sandbox: httpx.Client) -> list[tuple[str, int]]:
    """The requests that the sandbox has answered, and how."""
    requests = sandbox.get("/_sandbox/requests").json()
    return [(request["path"].removeprefix("/v1/"), request["status"]) for request in requests]


def taken(sandbox: httpx.Client) -> list[str]:
    """The ids of the events that the sandbox has accepted, in order."""
    return [entry["event"]["eventId"] for entry in sandbox.get("/_sandbox/events").json()]


def fail(sandbox: httpx.Client, mode: str, **order: Any) -> None:
    """Have the sandbox fail."""
    sandbox.post("/_sandbox/fail", json={"mode": mode, **order}).raise_for_status()
