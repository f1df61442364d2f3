"""Calven as the relay calls it: takes a tenth of a second for a request, and accepts everything."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx

from relay.events import milliseconds
from simulate.clock import Timeline

REQUEST_SECONDS = 0.1
_TOKEN_SECONDS = 3600

Observe = Callable[[str, int], None]
"""Is told the place and the time (ms) of each fact that Calven has accepted."""


@dataclass(frozen=True, slots=True)
class Told:
    """What Calven was told of a place: how many people, at an instant (ms)."""

    at: int
    people: int


@dataclass(slots=True)
class Calven:
    """What Calven has accepted: the latest fact of each place."""

    observe: Observe = lambda _place, _at: None
    latest: dict[str, Told] = field(default_factory=dict)
    requests: int = 0

    def answer(self, path: str, body: Mapping[str, Any], now: float) -> Mapping[str, Any]:
        """What a request is answered."""
        if path == "/v1/auth":
            return {"token": "simulated", "expiration": now + _TOKEN_SECONDS}
        self.requests += 1
        events: Sequence[Mapping[str, Any]] = body["occupancyEvents"]
        for event in events:
            self._accept(event)
        return {"results": [{"eventId": event["eventId"], "resultCode": 0} for event in events]}

    def _accept(self, event: Mapping[str, Any]) -> None:
        place, at = event["locationId"], milliseconds(datetime.fromisoformat(event["timestamp"]))
        if place not in self.latest or self.latest[place].at <= at:
            self.latest[place] = Told(at, event["occupancy"])
        self.observe(place, at)


class Wire(httpx.BaseTransport):
    """The way there from one container. `wait` is how that spends time."""

    def __init__(self, calven: Calven, timeline: Timeline, wait: Callable[[float], None]) -> None:
        self._calven, self._timeline, self._wait = calven, timeline, wait

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request; Calven has it halfway, and one that gives up before may have been taken."""
        allowed: float = request.extensions["timeout"]["read"]
        self._wait(min(REQUEST_SECONDS, allowed) / 2)
        body = json.loads(request.read() or b"{}")
        with self._timeline.turn:
            answer = self._calven.answer(request.url.path, body, self._timeline.now())
        self._wait(min(REQUEST_SECONDS, allowed) / 2)
        if allowed < REQUEST_SECONDS:
            raise httpx.ReadTimeout("simulated", request=request)
        return httpx.Response(200, json=answer)
