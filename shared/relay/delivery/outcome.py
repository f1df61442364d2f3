"""What becomes of an event: where its way ends, storing it there, and the log line that says so."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from relay.aws.queues import SQS_MAX_DELAY_SECONDS, QueueUnavailable
from relay.envelope import Envelope, wait_seconds
from relay.errors import TableUnavailable
from relay.events import ASK_NOW
from relay.invocation import Invocation


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

    @property
    def is_stored(self) -> bool:
        """Whether it goes into a queue."""
        return self.status in ("queued", "dead-lettered")

    def delay(self, base: float) -> float:
        """Seconds until a queued event is tried again."""
        return max(wait_seconds(self.envelope.attempts, base), self.wait or 0)


def store(outcomes: Sequence[Outcome], invocation: Invocation) -> None:
    """Put what is queued and dead-lettered into its queue, and note which sources are to be asked for news.

    Raises `QueueUnavailable`, and `TableUnavailable` where the note cannot be written.
    """
    later = [_later(outcome, invocation) for outcome in outcomes if outcome.status == "queued"]
    dead = [outcome.envelope for outcome in outcomes if outcome.status == "dead-lettered"]
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


def log(outcome: Outcome, invocation: Invocation) -> None:
    """One line: outcome, reason, source, event, how long after its receipt."""
    envelope, telemetry = outcome.envelope, invocation.telemetry
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
        detail=envelope.detail or None if outcome.is_stored else None,
        event_id=envelope.event_id or None,
        envelope_id=envelope.id if outcome.is_stored else None,
        events=outcome.events or None,
        attempts=envelope.attempts or None,
        age_ms=round((now - envelope.received_at.timestamp()) * 1000),
    )


def _is_configured(source: str, invocation: Invocation) -> bool:
    """Whether a source is configured; none is while the configuration cannot be read."""
    try:
        return source in invocation.config.sources
    except TableUnavailable:
        return False
