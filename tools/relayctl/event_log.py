"""What became of events, read from the functions' log: as `listen`, `trace` and the console show it.

The functions log a line of JSON for each event and attempt (`relay.delivery.outcome.log`). They are read with
CloudWatch's FilterLogEvents, from a deployed stack as from the local run, which plays the same groups.
"""

import json
import re
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from relayctl.target import Target

FUNCTIONS = ("access-control", "hris", "retry", "occupancy-reset", "reconcile")
"""The functions that log events, as their log groups are called in the template."""
REFUSALS = {"signature rejected": "refused", "unknown source": "unknown", "unavailable": "unavailable"}
"""Lines of requests that came to no event, by their message, and what is then the outcome."""
DOCTOR = "relayctl-doctor"
"""The source that `relayctl doctor` posts to, and that nobody has: its requests are no events."""
OVERLAP_SECONDS = 60
"""CloudWatch shows lines seconds after they were written, and not in order: so far back each look reaches."""
LOCAL_OVERLAP_SECONDS = 5
"""The local run shows lines at once."""
WINDOWS = (3600, 86_400, 7 * 86_400, 31 * 86_400)
"""How far back an id is looked for, in seconds, one after the other; the log is kept for 30 days."""

_EVENTS = " || ".join(f'($.message = "{message}")' for message in ("event", *REFUSALS))
_PLAIN_ID = re.compile(r"[A-Za-z0-9_=#@/;:,-]+")
"""What may stand in a regular expression of a filter pattern as it is."""

Pages = Callable[[int], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEvent:
    """One line: what an attempt made of one event, or why a request was none.

    `at` (Unix seconds) is when the attempt ended, and `took_ms` how long it took from the receipt, or in the
    retry function from the batch's beginning. `outcome` is `forwarded`, `ignored`, `queued` or
    `dead-lettered`, or of a request without an event `refused` (401), `unknown` (404) or `unavailable` (503).

    `what` is what it was, nobody named: `{"form": "badge", "door": "48211"}`; `relayctl.wording` has it in
    words. `counts` are the places whose count changed, before and after; a count that was settled before has
    only its value. `calven` holds Calven's answer: `ids` (the `eventId`s sent), HTTP `status`, result `code`.
    `steps` are milliseconds from the beginning to each step. `answer` is the HTTP status that the vendor got.
    `event_id` is the vendor's id. `log_id` tells lines apart.
    """

    log_id: str
    at: float
    function: str
    outcome: str
    source: str
    vendor: str
    reason: str = ""
    detail: str = ""
    correlation_id: str = ""
    request_id: str = ""
    event_id: str = ""
    envelope_id: str = ""
    attempts: int = 0
    events: int = 0
    of: int = 1
    took_ms: int | None = None
    waited_ms: int | None = None
    age_ms: int | None = None
    answer: int | None = None
    what: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    calven: Mapping[str, Any] = field(default_factory=dict)
    steps: Mapping[str, int] = field(default_factory=dict)

    @property
    def began_at(self) -> float:
        """When the attempt began: the receipt, or when the retry function took it up. Unix seconds."""
        return self.at - (self.took_ms or 0) / 1000

    @property
    def received_at(self) -> float:
        """When the event was received. Unix seconds."""
        return self.at - (self.age_ms or self.took_ms or 0) / 1000

    @property
    def calven_ids(self) -> Sequence[str]:
        """The `eventId`s under which Calven was told."""
        return tuple(self.calven.get("ids", ()))

    @property
    def delivery(self) -> str:
        """The id of the webhook that it came with, which its sender got as `x-correlation-id`."""
        return self.correlation_id or self.request_id

    @property
    def ids(self) -> frozenset[str]:
        """Every id by which somebody may ask for it."""
        named = (self.delivery, self.event_id, self.envelope_id, *self.calven_ids)
        return frozenset(name for name in named if name)

    def has_id(self, start: str) -> bool:
        """Whether one of its ids is this, or begins so."""
        return any(name.startswith(start) for name in self.ids)

    @property
    def from_queue(self) -> bool:
        """Whether it was tried out of the Unprocessed queue."""
        return self.function == "retry"


_TEXTS = ("source", "vendor", "reason", "detail", "correlation_id", "request_id", "event_id", "envelope_id")
_NUMBERS = ("attempts", "events", "of", "took_ms", "waited_ms", "age_ms", "answer")
_OBJECTS = ("what", "counts", "calven", "steps")


def parse(log_id: str, function: str, text: str) -> LoggedEvent | None:
    """A line of the log as an event; None for any other line."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    if not isinstance(line, dict):
        return None
    outcome = line.get("outcome") if line.get("message") == "event" else _refusal(line)
    if not outcome:
        return None
    said: dict[str, Any] = {name: str(line[name]) for name in _TEXTS if name in line}
    said |= {name: line[name] for name in _NUMBERS if isinstance(line.get(name), int)}
    said |= {name: line[name] for name in _OBJECTS if isinstance(line.get(name), dict)}
    if "check" in line:
        said["detail"] = str(line["check"])
    said.setdefault("source", str(line.get("asked", "")))
    said.setdefault("vendor", "")
    try:
        at = datetime.fromisoformat(line["timestamp"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return None
    return LoggedEvent(log_id=log_id, at=at, function=function, outcome=str(outcome), **said)


def _refusal(line: Mapping[str, Any]) -> str | None:
    """What became of a request that came to no event; None also for the doctor's, who only knocks."""
    if line.get("asked") == DOCTOR:
        return None
    return REFUSALS.get(str(line.get("message")))


class EventLog:
    """The log of a relay's events. Raises what boto3 raises (`relayctl.network.AWS_ERRORS`).

    `page` is told the number of lines of each page that was read, which may take a while.
    """

    def __init__(self, target: Target, page: Pages = lambda _: None) -> None:
        self._client = target.client("logs")
        self._groups = {name: f"/aws/lambda/{target.stack}/{name}" for name in FUNCTIONS}
        self._page = page
        self.overlap = LOCAL_OVERLAP_SECONDS if target.endpoint else OVERLAP_SECONDS
        """How many seconds each look reaches back."""

    @property
    def groups(self) -> Sequence[str]:
        """The log groups that are read."""
        return tuple(self._groups.values())

    def since(
        self, start: float, end: float | None = None, *, known: Container[str] = ()
    ) -> list[LoggedEvent]:
        """The events whose lines were written since then (Unix seconds), in order of time.

        Lines whose `log_id` is known are passed over.
        """
        return self._read(f"{{ {_EVENTS} }}", start, end, known)

    def follow(self, start: float) -> "Follower":
        """What has been logged since then, and what will be."""
        return Follower(self, start)

    def find(self, start_of_id: str, received_at: float | None = None) -> list[LoggedEvent]:
        """The events that have an id that is this or begins so, and all others of their webhooks.

        The newest are looked for first, and what is found says when it all began, unless `received_at` does.
        """
        now = time.time()
        if received_at is not None:
            return self._deliveries(self._with_id(start_of_id, received_at - self.overlap))
        for seconds in WINDOWS:
            if found := self._with_id(start_of_id, now - seconds):
                return self._deliveries(found)
        return []

    def _deliveries(self, found: Sequence[LoggedEvent]) -> list[LoggedEvent]:
        """All lines of the webhooks that these came with, since their receipt."""
        events: dict[str, LoggedEvent] = {event.log_id: event for event in found}
        for delivery in dict.fromkeys(event.delivery for event in found):
            received_at = min(event.received_at for event in found if event.delivery == delivery)
            same = self._with_id(delivery, received_at - self.overlap)
            events |= {event.log_id: event for event in same if event.delivery == delivery}
        return _in_order(events.values())

    def _with_id(self, start_of_id: str, start: float) -> list[LoggedEvent]:
        pattern = f"%{start_of_id}%" if _PLAIN_ID.fullmatch(start_of_id) else f"{{ {_EVENTS} }}"
        return [event for event in self._read(pattern, start) if event.has_id(start_of_id)]

    def _read(
        self, pattern: str, start: float, end: float | None = None, known: Container[str] = ()
    ) -> list[LoggedEvent]:
        found: list[LoggedEvent] = []
        for function, group in self._groups.items():
            for log_id, text in self._lines(group, pattern, start, end):
                event = None if log_id in known else parse(log_id, function, text)
                if event is not None:
                    found.append(event)
        return _in_order(found)

    def _lines(self, group: str, pattern: str, start: float, end: float | None) -> Iterator[tuple[str, str]]:
        asked: dict[str, Any] = {"startTime": max(int(start * 1000), 0)}
        if end is not None:
            asked["endTime"] = int(end * 1000)
        pages = self._client.get_paginator("filter_log_events").paginate(
            logGroupName=group, filterPattern=pattern, **asked
        )
        for page in pages:
            self._page(len(page["events"]))
            for event in page["events"]:
                yield event["eventId"], event["message"]


class Follower:
    """The log from an instant on: `poll` gives what has come since the last time, each line once."""

    def __init__(self, log: EventLog, start: float) -> None:
        self._log = log
        self._start = start
        self._seen: dict[str, float] = {}

    def poll(self) -> list[LoggedEvent]:
        """What is new, in order of time. After an error the next poll gives what this one did not."""
        asked_at = time.time()
        new = self._log.since(self._start, known=self._seen)
        self._seen |= {event.log_id: event.at for event in new}
        self._start = max(self._start, asked_at - self._log.overlap)
        # What is older than a look reaches cannot come again.
        oldest = self._start - self._log.overlap
        self._seen = {log_id: at for log_id, at in self._seen.items() if at >= oldest}
        return new


def _in_order(events: Any) -> list[LoggedEvent]:
    """By time, and what was written at the same one as it was read."""
    return sorted(events, key=lambda event: event.at)
