"""Somebody who speaks to the sandbox, and what they submit."""

import hashlib
import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from localrun.sandbox import Sandbox
from localrun.serve import Served

KEY, SECRET = "55DE3799-key", "sandbox-secret"
LIFETIME = 600.0


@dataclass
class Calven:
    """A client of a running sandbox, whose clock the test sets."""

    clock: list[float]
    http: httpx.Client
    headers: dict[str, str] = field(default_factory=dict)

    def start_anew(self) -> None:
        """Has a token again, and a sandbox that remembers nothing but its state."""
        self.clock[0] = 1_780_000_000.0
        self.http.delete("/_sandbox/fail")
        self.order("unknown", {})
        self.order("locations", {"locations": None})
        self.log_in()
        self.http.delete("/_sandbox/requests")

    def log_in(self) -> None:
        """Fetches a token for the calls that follow."""
        token = self.authenticate().json()["token"]
        self.headers = {"Authorization": f"Bearer {token}"}

    def authenticate(self, **changes: Any) -> httpx.Response:
        """`POST /v1/auth`, rightly signed but for the changes."""
        timestamp = changes.get("timestamp", int(self.clock[0]))
        return self.http.post("/v1/auth", json={**signed(timestamp), **changes})

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        """A call with the token."""
        return self.http.post(path, json=body, headers={**self.headers, **headers})

    def order(self, path: str, body: Any) -> None:
        """An order to the sandbox, which takes it."""
        assert self.http.post(f"/_sandbox/{path}", json=body).status_code == 204

    def view(self, path: str) -> Any:
        """What the sandbox shows."""
        return self.http.get(f"/_sandbox/{path}").json()


def signed(timestamp: Any) -> dict[str, Any]:
    """The body of `POST /v1/auth` at a time."""
    digest = hmac.new(SECRET.encode(), f"{KEY}{timestamp}".encode(), hashlib.sha256).hexdigest()
    return {"apiKey": KEY, "timestamp": timestamp, "hash": digest}


def occupancy(**changes: Any) -> dict[str, Any]:
    """An occupancy event."""
    event = {
        "timestamp": "2026-03-02T09:00:00.000Z",
        "locationId": "D0FA9F18",
        "locationType": "level",
        "eventId": "e-1",
        "occupied": True,
        "occupancy": 3,
    }
    return {name: value for name, value in {**event, **changes}.items() if value is not ...}


def leave(**changes: Any) -> dict[str, Any]:
    """A time off event."""
    event = {
        "eventId": "e-1",
        "email": "bob@example.com",
        "eventType": "scheduled",
        "startDate": "2026-12-30",
        "endDate": "2027-01-02",
        "timeOffType": "leave",
    }
    return {name: value for name, value in {**event, **changes}.items() if value is not ...}


def counted(*events: dict[str, Any]) -> dict[str, Any]:
    """The body of an occupancy submission."""
    return {"sourceId": "Lobby", "occupancyEvents": list(events)}


def away(*events: dict[str, Any]) -> dict[str, Any]:
    """The body of a time off submission."""
    return {"timeOffEvents": list(events)}


@contextmanager
def serving() -> Iterator[Calven]:
    """A sandbox that is served, and its client."""
    clock = [0.0]
    sandbox = Sandbox({"apiKey": KEY, "apiSecret": SECRET}, token_lifetime=LIFETIME, now=lambda: clock[0])
    with Served(sandbox) as url, httpx.Client(base_url=url, trust_env=False) as http:
        yield Calven(clock, http)
