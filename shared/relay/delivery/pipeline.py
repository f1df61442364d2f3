"""The way of an event, once, for all functions: parse, settle, submit, and say what became of it.

An `Envelope` goes in, and one or more `Outcome`s come out. Parsing reads a stored request and asks a thin
vendor's API; settling records events in the ledger; all that is then to be sent goes to Calven in as few
requests as possible, and the results are noted. How badges and readings are settled and noted is in
`relay.delivery.occupancy`, how leave is in `relay.delivery.time_off`. Storing what cannot be forwarded is the
caller's: the webhook functions send it to a queue, the retry function leaves it there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from relay.calven import CalvenEvent, Result
from relay.delivery.occupancy import Occupancy, report
from relay.delivery.outcome import Outcome
from relay.delivery.parsing import Parser
from relay.delivery.step import Step, attempt, stopped
from relay.delivery.time_off import TimeOff
from relay.envelope import Envelope
from relay.errors import Stop
from relay.events import Ignored, ThinEvent
from relay.invocation import Invocation
from relay.observability import whereabouts
from relay.vendors.support.seen import Sighting

CHUNK = 100
"""So many events are settled, submitted and noted before the next ones are.

No lease runs out, and no function's time, however large a delivery is.
"""


class Pipeline:
    """Processes the envelopes of one invocation."""

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation
        self._parser = Parser(invocation)
        self._correlation_id = invocation.telemetry.request_id
        self._busy: list[Step] = []
        # What became of a request to Calven that failed as a whole: after it none is begun.
        self._failure: Result | None = None

    @property
    def received(self) -> int:
        """How many events the requests held that were parsed."""
        return self._parser.received

    @property
    def seen(self) -> Mapping[str, set[Sighting]]:
        """What the events named, by source."""
        return self._parser.seen

    def process(self, envelopes: Sequence[Envelope]) -> list[list[Outcome]]:
        """Parse, settle and forward; the outcomes of each envelope, in the same order. Stores nothing."""
        self._correlation_id = self._shared_correlation_id(envelopes)
        received = [Step(envelope, number) for number, envelope in enumerate(envelopes)]
        unreadable = attempt(lambda: self._invocation.config, self._invocation, *received)
        if isinstance(unreadable, Stop):
            return [[stopped(step, unreadable, self._invocation)] for step in received]
        outcomes: list[Outcome] = []
        parsed: list[Step] = []
        for step in received:
            events, ended = self._parse(step)
            parsed += events
            outcomes += ended
        self._invocation.telemetry.passed("parsed", self._invocation.now())
        # SQS keeps no order, and a reading behind a newer one of its sensor would be superseded.
        parsed.sort(key=lambda step: step.envelope.happened_at)
        for start in range(0, len(parsed), CHUNK):
            outcomes += self._deliver(parsed[start : start + CHUNK])
        # What these found under way may have been submitted here.
        busy, self._busy = self._busy, []
        if busy:
            outcomes += self._deliver([replace(step, again=True) for step in busy])
        by_origin: list[list[Outcome]] = [[] for _ in envelopes]
        for outcome in outcomes:
            by_origin[outcome.origin].append(outcome)
        return by_origin

    def store_first(self, envelope: Envelope) -> list[Outcome]:
        """Parse an envelope's request, and have every event of it queued instead of settled.

        A request of a thin event is queued as it is.
        """
        whole = Step(envelope, 0)
        parts = attempt(partial(self._parser.unresolved, envelope), self._invocation, whole)
        if isinstance(parts, Stop):
            return [stopped(whole, parts, self._invocation)]
        outcomes: list[Outcome] = []
        for part in parts:
            step = Step(part, 0)
            if isinstance(part.event, Ignored):
                outcomes.append(step.ignored(part.event.reason))
            # A part that is a request still, with a detail, is a malformed event.
            elif part.request is not None and part.detail:
                outcomes.append(step.dead("unparseable", part.detail, self._invocation.utc_now()))
            else:
                # It has not failed, and so it is not delayed.
                waiting = part.model_copy(update={"reason": "store_first"})
                outcomes.append(Outcome("queued", waiting, "store_first"))
        return outcomes

    def stored(self, outcomes: Sequence[Outcome]) -> None:
        """Note that dead letters are safe in their queue: their counts are not reported a second time."""
        for outcome in outcomes:
            if outcome.status == "dead-lettered":
                report(outcome.envelope.calven or (), self._invocation)

    def _shared_correlation_id(self, envelopes: Sequence[Envelope]) -> str:
        """What Calven is told a request belongs to: the delivery, or for events of several the invocation."""
        ids = {envelope.correlation_id for envelope in envelopes}
        shared = ids.pop() if len(ids) == 1 else ""
        return shared or self._invocation.telemetry.request_id

    def _parse(self, step: Step) -> tuple[list[Step], list[Outcome]]:
        """A step for each event of an envelope, and the outcomes of those that go no further."""
        envelope, origin = step.envelope, step.origin
        parts = attempt(partial(self._parser.parts, envelope), self._invocation, step)
        if isinstance(parts, Stop):
            return [], [stopped(step, parts, self._invocation)]
        steps: list[Step] = []
        outcomes: list[Outcome] = []
        for part, event in parts:
            of_part = Step(part, origin)
            found = attempt(partial(self._parser.resolve, part, event), self._invocation, of_part)
            if isinstance(found, Stop):
                outcomes.append(stopped(of_part, found, self._invocation))
            elif isinstance(event, ThinEvent):
                steps += [Step(resolved, origin, announcement=part) for resolved in found]
            else:
                steps += [Step(same, origin) for same in found]
        return steps, outcomes

    def _deliver(self, steps: Sequence[Step]) -> list[Outcome]:
        """Settle a chunk of events, submit what there is to send, and conclude; what became of each."""
        if self._failure is not None:
            return [self._queue(step, self._failure) for step in steps]
        occupancy, time_off = Occupancy(self._invocation), TimeOff(self._invocation)
        outcomes = occupancy.settle([step for step in steps if step.envelope.kind == "occupancy"])
        outcomes += time_off.settle([step for step in steps if step.envelope.kind == "time_off"])
        if steps:
            self._invocation.telemetry.passed("settled", self._invocation.now())
        results = self._submit([*occupancy.submissions(), *time_off.submissions()])
        outcomes += occupancy.conclude(results)
        outcomes += time_off.conclude(results)
        while time_off.is_open:
            # Changes recorded meanwhile left something to send under the same lease.
            outcomes += time_off.conclude(self._submit([*time_off.submissions()]))
        self._busy += time_off.busy
        return outcomes

    def _submit(self, events: Sequence[CalvenEvent]) -> Mapping[str, Result]:
        """Send everything, but nothing once a request has failed as a whole; a result for each event.

        Raises nothing.
        """
        if self._failure is not None:
            return dict.fromkeys((event.event_id for event in events), self._failure)
        invocation = self._invocation
        try:
            results = invocation.calven.submit(
                events,
                invocation.deadline.at_most(invocation.deadline.left_for_work()),
                call_seconds=invocation.pace.call_seconds,
                correlation_id=self._correlation_id,
                observe=invocation.telemetry.asked_calven,
            )
        except Exception as error:  # noqa: BLE001 - a fault of ours must cost no event
            invocation.telemetry.problem("internal error", error=whereabouts(error))
            waiting = Result(status="waiting", reason="internal_error")
            return {event.event_id: waiting for event in events}
        if events:
            invocation.telemetry.passed("answered", invocation.now())
        self._failure = common_failure(results)
        return results

    def _queue(self, step: Step, failure: Result) -> Outcome:
        now = self._invocation.utc_now()
        return step.queued(failure.reason, failure.detail, now, failure.retry_after)


def common_failure(results: Mapping[str, Result]) -> Result | None:
    """What became of a request that failed as a whole, for all that is not sent after it; None without one.

    One is enough, whatever others were answered: a Calven that fails is left alone.
    """
    failed = next((result for result in results.values() if result.whole), None)
    return replace(failed, uncertain=False, http=None) if failed else None
