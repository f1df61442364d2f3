"""What became of an event: storing it where that is still to be done, and the log line that says so."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from relay.aws.queues import SQS_MAX_DELAY_SECONDS
from relay.container import Container
from relay.envelope import Envelope, wait_seconds
from relay.errors import TableUnavailable
from relay.observability import Telemetry


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an envelope, or of a part of it.

    `forwarded` and `ignored` need nothing more; `queued` and `dead-lettered` are to be stored, as
    `envelope` says. `events` counts what Calven accepted, `wait` is a wait in seconds that was asked for.
    """

    status: Literal["forwarded", "ignored", "queued", "dead-lettered"]
    envelope: Envelope
    reason: str = ""
    events: int = 0
    wait: float | None = None

    def delay(self, base: float) -> float:
        """Seconds until a queued event is tried again."""
        return max(wait_seconds(self.envelope.attempts, base), self.wait or 0)


def store(container: Container, outcomes: Sequence[Outcome]) -> None:
    """Put what is queued and dead-lettered into its queue; raises `QueueUnavailable`."""
    base = container.settings.retry_base_seconds
    later = [
        _later(outcome.envelope, outcome.delay(base), container)
        for outcome in outcomes
        if outcome.status == "queued"
    ]
    dead = [outcome.envelope for outcome in outcomes if outcome.status == "dead-lettered"]
    if later:
        container.queues.retry_later(later)
    if dead:
        container.queues.dead_letter(dead)


def _later(envelope: Envelope, delay: float, container: Container) -> tuple[Envelope, float]:
    """An envelope with its wait; one that is longer than SQS's delay goes into the envelope as well."""
    if delay > SQS_MAX_DELAY_SECONDS:
        not_before = datetime.fromtimestamp(container.clock() + delay, UTC)
        envelope = envelope.model_copy(update={"not_before": not_before})
    return envelope, delay


def _configured(container: Container, source: str) -> bool:
    """Whether a source is configured; none is while the configuration cannot be read."""
    try:
        return source in container.config.current().sources
    except TableUnavailable:
        return False


def log(container: Container, telemetry: Telemetry, outcome: Outcome) -> None:
    """One line: outcome, reason, source, event, how long after its receipt."""
    envelope, now = outcome.envelope, container.clock()
    known = _configured(container, envelope.source)
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
        detail=envelope.detail or None if outcome.status in ("queued", "dead-lettered") else None,
        event_id=envelope.event_id or None,
        envelope_id=envelope.id if outcome.status in ("queued", "dead-lettered") else None,
        events=outcome.events or None,
        attempts=envelope.attempts or None,
        age_ms=round((now - envelope.received_at.timestamp()) * 1000),
    )
