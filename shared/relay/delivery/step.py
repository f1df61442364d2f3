"""An event on its way, and how its way ends where something stops it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from relay.delivery.outcome import Outcome
from relay.envelope import Envelope
from relay.errors import Ignore, Never, NotNow, Stop, TokenRefused, Unparseable
from relay.events import Ignored, MalformedEvent, ThinEvent
from relay.invocation import Invocation
from relay.observability import whereabouts

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step:
    """An event on its way, in the envelope in which it waits if it comes to that.

    `origin` is as in `Outcome`. `announcement` is the envelope of the thin event that the vendor's API was
    asked about: it becomes the dead letter, so that a redrive asks anew. `again` says that the event was
    recorded before, and found another submission under way.
    """

    envelope: Envelope
    origin: int
    announcement: Envelope | None = None
    again: bool = False

    def forwarded(self, events: int = 0, reason: str = "") -> Outcome:
        """Calven has it."""
        return Outcome("forwarded", self.envelope, reason, events=events, origin=self.origin)

    def ignored(self, reason: str) -> Outcome:
        """Calven has no use for it."""
        return Outcome("ignored", self.envelope, reason, origin=self.origin)

    def queued(
        self,
        reason: str,
        detail: str,
        now: datetime,
        wait: float | None = None,
        left: Envelope | None = None,
    ) -> Outcome:
        """It waits; `left` is what is left of its envelope, where something is done already."""
        envelope = (left or self.envelope).failed(reason, detail, now)
        return Outcome("queued", envelope, reason, wait=wait, origin=self.origin)

    def dead(self, reason: str, detail: str, now: datetime, left: Envelope | None = None) -> Outcome:
        """Nobody can do anything with it as it stands."""
        envelope = left or self.announcement or self.envelope
        return Outcome("dead-lettered", envelope.failed(reason, detail, now), reason, origin=self.origin)


def attempt(act: Callable[[], T], invocation: Invocation, *steps: Step) -> T | Stop:
    """What an action for these steps gives, or why it stops.

    A fault of ours costs no event, nor does it hold up others.
    """
    try:
        return act()
    except Stop as stop:
        return stop
    except Exception as error:  # noqa: BLE001 - the event waits, and the log says where to look
        for step in steps:
            invocation.telemetry.problem(
                "internal error", error=whereabouts(error), envelope_id=step.envelope.id
            )
        return NotNow(reason="internal_error")


def stopped(step: Step, stop: Stop, invocation: Invocation) -> Outcome:
    """What becomes of an event that goes no further: the branch of the error decides."""
    now = invocation.utc_now()
    match stop:
        case Ignore():
            return step.ignored(stop.reason)
        case Never():
            return step.dead(stop.reason, str(stop), now)
        case NotNow():
            if isinstance(stop, TokenRefused):
                envelope = step.envelope
                invocation.telemetry.token_refused(
                    stop.seconds, source=envelope.source, vendor=envelope.vendor
                )
            return step.queued(stop.reason, str(stop), now, stop.retry_after)
    # Every branch of the tree is above: another one would be a fault of ours.
    raise stop


def check(step: Step, invocation: Invocation) -> None:
    """Raise `Stop` where there is no time to settle an event, or nothing to settle."""
    if isinstance(step.envelope.event, Ignored):
        raise Ignore(reason=step.envelope.event.reason)
    invocation.deadline.check()
    # All requests have been parsed by now: one that is left could not be read.
    if step.envelope.request is not None:
        raise Unparseable(step.envelope.detail)
    match step.envelope.event:
        case ThinEvent() | MalformedEvent():
            raise Unparseable("event: no event that can be settled")
