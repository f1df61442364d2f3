"""What becomes of an event: where its way ends, storing it there, and the log line that says so."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal

from relay.aws.queues import SQS_MAX_DELAY_SECONDS, QueueUnavailable
from relay.calven import Result
from relay.envelope import Envelope, wait_seconds
from relay.errors import TableUnavailable
from relay.events import ASK_NOW, BadgeEvent, Event, LeaveChange, SensorReading
from relay.invocation import Invocation

_ADDRESS = re.compile(r"[^\s@<>()\"',;:]+@[^\s@<>()\"',;:]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What an attempt did for an event, for the log: nothing in it decides anything.

    `event` is the event, where its envelope holds only what is left of it; `ids` are the `eventId`s that
    Calven was sent, `result` is what it said. `counts` are the places whose count changed, before and after.
    """

    event: Event | None = None
    ids: Sequence[str] = ()
    result: Result | None = None
    counts: Mapping[str, Sequence[int | bool | None]] = field(default_factory=dict)


NOTHING_TOLD = Told()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an envelope, or of a part of it.

    `forwarded` and `ignored` need nothing more; `queued` and `dead-lettered` are to be stored, as `envelope`
    says. `events` counts what Calven accepted, `wait` is a wait in seconds that was asked for. `origin` is
    the number, among the envelopes that were processed together, of the one that it came from.
    """

    status: Literal["forwarded", "ignored", "queued", "dead-lettered"]
    envelope: Envelope
    reason: str = ""
    events: int = 0
    wait: float | None = None
    origin: int = 0
    told: Told = field(default=NOTHING_TOLD, compare=False)

    @property
    def is_stored(self) -> bool:
        """Whether it goes into a queue."""
        return self.status in ("queued", "dead-lettered")

    def delay(self, base: float) -> float:
        """Seconds until a queued event is tried again."""
        return max(wait_seconds(self.envelope.attempts, base, self.reason), self.wait or 0)


def store(outcomes: Sequence[Outcome], invocation: Invocation) -> None:
    """Put what is queued and dead-lettered into its queue, and note which sources are to be asked for news.

    Raises `QueueUnavailable`, and `TableUnavailable` where the note cannot be written.
    """
    later = [_later(outcome, invocation) for outcome in outcomes if outcome.status == "queued"]
    dead = [outcome.envelope for outcome in outcomes if outcome.status == "dead-lettered"]
    # Should the second queue fail, all is repeated: what is stored twice is settled once.
    if later:
        invocation.queues.retry_later(later)
    if dead:
        invocation.queues.dead_letter(dead)
    for source in {outcome.envelope.source for outcome in outcomes if outcome.reason == ASK_NOW}:
        _ask_for_news(source, invocation)


def _ask_for_news(source: str, invocation: Invocation) -> None:
    """Have a source reconciled: soon by a message, and by the schedule where that comes to nothing."""
    invocation.vendor_memory.note_news(source)
    with suppress(QueueUnavailable):
        invocation.queues.ask_to_reconcile([source])


def _later(outcome: Outcome, invocation: Invocation) -> tuple[Envelope, float]:
    """An envelope with its wait; one that is longer than SQS's delay goes into the envelope as well."""
    envelope = outcome.envelope
    delay = outcome.delay(invocation.settings.retry_base_seconds)
    if delay > SQS_MAX_DELAY_SECONDS:
        not_before = datetime.fromtimestamp(invocation.now() + delay, UTC)
        envelope = envelope.model_copy(update={"not_before": not_before})
    return envelope, delay


def log(outcome: Outcome, invocation: Invocation, *, of: int = 1, **more: int) -> None:
    """One line: outcome, reason, source, event, how long after its receipt.

    `of` is how many events came in one request; `more` is what the caller knows.
    """
    envelope, telemetry, told = outcome.envelope, invocation.telemetry, outcome.told
    event = told.event or envelope.event
    now = invocation.now()
    known = _is_configured(envelope.source, invocation)
    if outcome.status == "forwarded" and known:
        since = (now - envelope.happened_at) * 1000
        telemetry.took("EndToEndLatency", since, source=envelope.source, vendor=envelope.vendor)
    telemetry.event(
        outcome.status,
        source=envelope.source,
        vendor=envelope.vendor,
        known=known,
        correlation_id=envelope.correlation_id or None,
        reason=outcome.reason or None,
        detail=_detail(outcome),
        event_id=event.event_id or None if event else None,
        # An event that goes its way at once is never in a queue under this id.
        envelope_id=envelope.id if outcome.is_stored or envelope.reason else None,
        what=_what(event),
        counts=dict(told.counts) or None,
        calven=_calven(told),
        events=outcome.events or None,
        of=of if of > 1 else None,
        attempts=envelope.attempts or None,
        age_ms=round((now - envelope.received_at.timestamp()) * 1000),
        **telemetry.times(now),
        **more,
    )


def _detail(outcome: Outcome) -> str | None:
    """Why an event is stored. It may be in Calven's own words, which may say of whom."""
    return _ADDRESS.sub("(address)", outcome.envelope.detail) or None if outcome.is_stored else None


def _what(event: Event | None) -> dict[str, Any] | None:
    """What an event was, for the log: no person, no address, and of a leave no text of the vendor's."""
    said: dict[str, Any]
    match event:
        case BadgeEvent():
            said = {"form": "badge", "door": event.door, "direction": event.direction}
        case SensorReading():
            said = {"form": "reading", "sensor": event.sensor, "people": event.people}
            said |= {"occupied": event.occupied}
        case LeaveChange():
            state = "resumed" if event.resumed else event.state
            said = {"form": "leave", "state": state, "start": _day(event.start), "end": _day(event.end)}
        case _:
            return None
    return {name: value for name, value in said.items() if value is not None}


def _day(text: str | None) -> str | None:
    """A date; None for any other text, which may say anything."""
    try:
        return date.fromisoformat(text or "").isoformat()
    except ValueError:
        return None


def _calven(told: Told) -> dict[str, Any] | None:
    """Calven's answer, for the log: its HTTP status and the event's result code, nothing that it wrote."""
    if not told.ids:
        return None
    said: dict[str, Any] = {"ids": list(told.ids)}
    if told.result is not None:
        said |= {"status": told.result.http, "code": told.result.code}
    return {name: value for name, value in said.items() if value is not None}


def _is_configured(source: str, invocation: Invocation) -> bool:
    """Whether a source is configured; none is while the configuration cannot be read."""
    try:
        return source in invocation.config.sources
    except TableUnavailable:
        return False
