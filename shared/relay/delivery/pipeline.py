"""The way of an event, once, for all functions: open, settle, forward, and say what became of it.

An `Envelope` goes in, and one or more `Outcome`s come out. Parser parses a stored request and asks a thin
vendor's API; settling records domain events in the ledger, badges of one operating day together; all that is
then to be sent goes to Calven in as few requests as possible, and the results are noted. Storing what cannot
be forwarded is the caller's: the webhook functions send it to a queue, the retry function leaves it there.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Literal, TypeVar
from uuid import uuid4

from relay.calven import CalvenEvent, Result
from relay.config.model import Config, Door, Source
from relay.container import Container
from relay.deadline import WAITED_FOR, Deadline, Pace
from relay.delivery.outcome import Outcome
from relay.delivery.parsing import Parser
from relay.envelope import Envelope
from relay.errors import (
    Ignore,
    Never,
    NotNow,
    Stop,
    TableUnavailable,
    TokenRefused,
    Unparseable,
)
from relay.events import (
    BadgeEvent,
    Ignored,
    LeaveChange,
    MalformedEvent,
    SensorReading,
    ThinEvent,
)
from relay.observability import Telemetry, whereabouts
from relay.occupancy.rules import Badge, Day, Fact, operating_day, through

if TYPE_CHECKING:
    from relay.time_off.ledger import Submission

NOT_SENT = Result(status="waiting", reason="internal_error")
"""What became of a fact that another step was to send, and did not."""
CHUNK = 100
"""So many events are settled, submitted and noted before the next ones are."""
WHOLE = ("calven_unavailable", "calven_configuration")
"""Why a request to Calven fails as a whole."""
OLDEST = timedelta(days=15)
"""The ledger's days last that long: what happened before changes no count that anybody would zero."""
TOGETHER = 50
"""So many badges are settled in one transaction, where the places that they touch leave room for it."""


T = TypeVar("T")


@dataclass(slots=True)
class _Step:
    """An envelope of one event: what to send for it once it is settled, and what became of that so far.

    `origin` is the place of the envelope that it came from among those that are being processed. `passage` is
    a badge with its door, `within` the ids of the facts that tell it where it has none of its own. `again`
    says that it was recorded before, and found a submission under way. `asked` is the announcement that the
    vendor's API was asked about: it becomes the dead letter, so that a redrive asks anew. `refused` is why a
    leave cannot be told although there are days of it to give back.
    """

    envelope: Envelope
    origin: int
    asked: Envelope | None = None
    again: bool = False
    passage: tuple[BadgeEvent, Door] | None = None
    facts: list[Fact] = field(default_factory=list)
    within: frozenset[str] = frozenset()
    turns: "list[Submission]" = field(default_factory=list)
    busy: bool = False
    accepted: int = 0
    failed: list[Result] = field(default_factory=list)
    refused: Never | None = None


class Pipeline:
    """Processes the envelopes of one invocation."""

    def __init__(
        self, container: Container, deadline: Deadline, telemetry: Telemetry, pace: Pace = WAITED_FOR
    ) -> None:
        self.telemetry = telemetry
        self._container = container
        self._deadline = deadline
        self._pace = pace
        self._outcomes: list[list[Outcome]] = []
        self._opening = Parser(container, deadline, pace)
        self._busy: list[_Step] | None = []
        self._stopped: tuple[str, str, float | None] | None = None
        self._correlation_id = telemetry.request_id

    @property
    def received(self) -> int:
        """How many events the requests held that were opened."""
        return self._opening.received

    def process(self, envelopes: Sequence[Envelope]) -> list[list[Outcome]]:
        """Open, settle and forward; the outcomes of each envelope, in the same order. Stores nothing."""
        self._outcomes = [[] for _ in envelopes]
        self._correlation_id = self._one_for_all(envelopes)
        if not self._guarded(list(map(_Step, envelopes, count())), self._container.config.current):
            return self._outcomes
        opened = []
        for origin, envelope in enumerate(envelopes):
            for part in (
                self._guarded([_Step(envelope, origin)], partial(self._opening.parts, envelope)) or ()
            ):
                read = partial(self._opening.read, *part)
                for found in self._guarded([_Step(part[0], origin)], read) or ():
                    asked = None if found is part[0] else part[0]
                    opened.append(_Step(found, origin, asked=asked))
        opened.sort(key=lambda step: step.envelope.happened_at)
        # In chunks, so that no lease runs out and no function times out, however large a delivery is.
        for start in range(0, len(opened), CHUNK):
            self._process(opened[start : start + CHUNK])
        # What these found under way may have been submitted here.
        again, self._busy = self._busy or (), None
        self._process([_Step(step.envelope, step.origin, asked=step.asked, again=True) for step in again])
        return self._outcomes

    def _process(self, opened: Sequence[_Step]) -> None:
        if self._stopped is not None:
            for step in opened:
                self._queue(step.origin, step.envelope, *self._stopped)
            return
        settled = [step for step in opened if self._guarded([step], partial(self._settled, step))]
        steps = [step for step in settled if step.passage is None] + self._counted(settled)
        while steps:
            steps = self._forward(steps)

    def _one_for_all(self, envelopes: Sequence[Envelope]) -> str:
        """What Calven is told a request belongs to: the delivery, or for events of several the invocation."""
        ids = {envelope.correlation_id for envelope in envelopes}
        return (ids.pop() if len(ids) == 1 else "") or self.telemetry.request_id

    def store_first(self, envelope: Envelope) -> list[Outcome]:
        """Parse an envelope's request, and have every event of it queued instead of settled.

        A request that only announces something is queued as it is.
        """
        self._outcomes = [[]]
        for parsed in self._guarded([_Step(envelope, 0)], partial(self._opening.unfetched, envelope)) or ():
            if isinstance(parsed.event, Ignored):
                self._outcomes[0].append(Outcome("ignored", parsed, parsed.event.reason))
            elif parsed.request is not None and parsed.detail:
                self._dead_letter(0, parsed, "unparseable", parsed.detail)
            else:
                waiting = parsed.model_copy(update={"reason": "store_first"})
                self._outcomes[0].append(Outcome("queued", waiting, "store_first"))
        return self._outcomes[0]

    def stored(self, outcomes: Sequence[Outcome]) -> None:
        """Note that dead letters are safe in their queue: their counts are not told a second time."""
        self._reported(
            [
                fact
                for outcome in outcomes
                if outcome.status == "dead-lettered"
                for fact in outcome.envelope.calven or ()
            ]
        )

    def _guarded(self, steps: Sequence[_Step], act: Callable[[], T]) -> T | None:
        """What is to be done for these steps; where it cannot be, their outcome."""
        try:
            return act()
        except Ignore as stop:
            for step in steps:
                self._outcomes[step.origin].append(Outcome("ignored", step.envelope, stop.reason))
        except Never as stop:
            for step in steps:
                self._dead_letter(step.origin, step.asked or step.envelope, stop.reason, str(stop))
        except NotNow as stop:
            for step in steps:
                if isinstance(stop, TokenRefused):
                    self.telemetry.token_refused(
                        stop.seconds, source=step.envelope.source, vendor=step.envelope.vendor
                    )
                self._queue(step.origin, step.envelope, stop.reason, str(stop), stop.retry_after)
        except Exception as error:  # noqa: BLE001 - a fault of ours must cost no event, nor hold up others
            for step in steps:
                self.telemetry.problem(
                    "internal error", error=whereabouts(error), envelope_id=step.envelope.id
                )
                self._queue(step.origin, step.envelope, "internal_error", "")
        return None

    def _queue(
        self, origin: int, envelope: Envelope, reason: str, detail: str, wait: float | None = None
    ) -> None:
        failed = envelope.failed(reason, detail, self._now())
        self._outcomes[origin].append(Outcome("queued", failed, reason, wait=wait))

    def _dead_letter(self, origin: int, envelope: Envelope, reason: str, detail: str) -> None:
        failed = envelope.failed(reason, detail, self._now())
        self._outcomes[origin].append(Outcome("dead-lettered", failed, reason))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._container.clock(), UTC)

    def _settled(self, step: _Step) -> _Step:
        """Record an event in the ledger, of a badge only look up the door. Raises `Ignore` and others."""
        self._deadline.check()
        envelope = step.envelope
        if envelope.request is not None:
            raise Unparseable(envelope.detail)
        match envelope.event:
            case BadgeEvent() as badge if envelope.kind == "occupancy":
                step.passage = badge, self._door(badge, envelope)
            case SensorReading() as reading if envelope.kind == "occupancy":
                self._check_age(reading.at)
                step.facts = self._settled_reading(reading, envelope)
            case LeaveChange() as change if envelope.kind == "time_off":
                self._settle_leave(change, step)
            case BadgeEvent() | SensorReading() | LeaveChange():
                raise Unparseable("event: it belongs to the other family's route")
            case ThinEvent() | MalformedEvent():
                raise Unparseable("event: no event that can be settled")
            case Ignored() as ignored:
                raise Ignore(reason=ignored.reason)
            case None:
                step.facts = list(envelope.calven or ())
        return step

    def _door(self, badge: BadgeEvent, envelope: Envelope) -> Door:
        if badge.person is None:
            raise Ignore(reason="anonymous")
        self._check_age(badge.at)
        door = self._container.config.door(self._called(envelope), badge.door)
        if door is None:
            raise self._unmapped(f"door {badge.door}", envelope)
        return door

    def _called(self, envelope: Envelope) -> str:
        """What the envelope's source is called now."""
        return self._container.config.current().called(envelope.source)

    def _key(self, envelope: Envelope) -> str:
        """The name under which the ledger knows the envelope's source."""
        return self._container.config.current().key(self._called(envelope))

    def _check_age(self, at: datetime) -> None:
        """Refuse what is older than the ledger's days: nobody would ever correct what it says."""
        if self._now() - at > OLDEST:
            raise Never("its time is over 15 days ago: look at the device's clock", reason="stale_time")

    def _unmapped(self, what: str, envelope: Envelope) -> Stop:
        """What becomes of an event whose door, sensor or place is not in the configuration."""
        if self._source(envelope).unmapped_doors == "ignore":
            return Ignore(reason="unmapped_door")
        return Never(f"{what} is not configured", reason="unmapped_door")

    def _counted(self, steps: Sequence[_Step]) -> list[_Step]:
        """Of these the steps of badges, settled with the others of their operating day, in order of time."""
        config = self._container.config.current()
        days: dict[Day, list[tuple[Badge, _Step]]] = {}
        for step in steps:
            if step.passage is None:
                continue
            place = partial(self._placed, *step.passage, step.envelope, config)
            if found := self._guarded([step], place):
                badge, day = found
                days.setdefault(day, []).append((badge, step))
        counted: list[_Step] = []
        for day, of_day in days.items():
            of_day.sort(key=lambda found: found[0].order)
            for start in range(0, len(of_day), TOGETHER):
                some = of_day[start : start + TOGETHER]
                settle = partial(self._settled_badges, some, day, config)
                counted += self._guarded([step for _, step in some], settle) or ()
        return counted

    def _placed(self, event: BadgeEvent, door: Door, envelope: Envelope, config: Config) -> tuple[Badge, Day]:
        """A badge with what its door leads to, and the operating day in which it counts."""
        if door.place not in config.places:
            # The configuration has changed since the door was looked up.
            door = self._door(event, envelope)
        if door.place not in config.places:
            raise self._unmapped(f"the place of door {event.door}", envelope)
        badge = through(event, door, self._key(envelope), envelope.received_at.timestamp(), config)
        return badge, operating_day(config, config.around(badge.place)[-1], badge.at)

    def _settled_badges(self, some: Sequence[tuple[Badge, _Step]], day: Day, config: Config) -> list[_Step]:
        self._deadline.check()
        badges = [badge for badge, _ in some]
        told = []
        settled = self._container.headcount.settle(badges, day, config, self._deadline, self._pace.apart)
        for (_, step), one in zip(some, settled, strict=True):
            step.facts, step.within = list(one.facts), one.within
            if step.facts or step.within:
                told.append(step)
            else:
                self._outcomes[step.origin].append(Outcome("ignored", step.envelope, one.reason))
        return told

    def _settled_reading(self, reading: SensorReading, envelope: Envelope) -> list[Fact]:
        sensor = self._container.config.sensor(self._called(envelope), reading.sensor)
        config = self._container.config.current()
        if sensor is None or sensor.place not in config.places:
            raise self._unmapped(f"sensor {reading.sensor}", envelope)
        received_at = envelope.received_at.timestamp()
        facts, reason = self._container.readings.settle(
            reading,
            self._key(envelope),
            config.places[sensor.place].location_id,
            received_at,
            config,
            partial(self._watches, sensor.place),
            self._deadline,
        )
        if not facts:
            raise Ignore(reason=reason)
        return facts

    def _watches(self, place: str, source: str, sensor: str) -> bool:
        """Whether a sensor of a source (by its key in the ledger) is configured for a place."""
        found = self._container.config.sensor(self._container.config.current().named(source), sensor)
        return found is not None and found.place == place

    def _settle_leave(self, change: LeaveChange, step: _Step) -> None:
        seconds = min(self._deadline.left_for_work(), 2 * self._pace.call_seconds)
        # Leave can be ended after its source was taken out: what the source's keys say does not matter then.
        ended = change.state == "ended"
        source = Source(vendor=step.envelope.vendor) if ended else self._source(step.envelope)
        order = self._container.config.order
        recorded = self._container.leaves.record(change, self._key(step.envelope), source, seconds, order)
        if not recorded.turns and not recorded.busy:
            if recorded.refused:
                raise recorded.refused
            raise Ignore(reason="merged" if step.again else recorded.reason)
        step.turns, step.busy, step.refused = list(recorded.turns), recorded.busy, recorded.refused

    def _source(self, envelope: Envelope) -> Source:
        source = self._container.config.current().sources.get(self._called(envelope))
        if source is None:
            raise NotNow("the source is not configured any more", reason="unknown_source")
        return source

    def _forward(self, steps: Sequence[_Step]) -> list[_Step]:
        """Send all that the steps have to send, and note the results; the steps that have more to send."""
        submissions = [submission for step in steps for submission in self._submissions(step)]
        results = self._sent(submissions)
        more = [s for s in steps if self._guarded([s], partial(self._noted, s, results))]
        accepted = [
            f for s in steps for f in s.facts if results.get(f.event_id, NOT_SENT).status == "accepted"
        ]
        self._reported(accepted)
        return more

    def _sent(self, submissions: Sequence[CalvenEvent]) -> Mapping[str, Result]:
        limit = self._deadline.at_most(self._deadline.left_for_work())
        try:
            results = self._container.calven.submit(
                submissions,
                limit,
                call_seconds=self._pace.call_seconds,
                correlation_id=self._correlation_id,
                observe=self.telemetry.asked_calven,
            )
            self._stopped = _failed_whole(results)
            return results
        except Exception as error:  # noqa: BLE001 - a fault of ours must cost no event
            self.telemetry.problem("internal error", error=whereabouts(error))
            return {s.event_id: Result(status="waiting", reason="internal_error") for s in submissions}

    def _submissions(self, step: _Step) -> Iterator[CalvenEvent]:
        config = self._container.config.current()
        source_id = config.calven_source_id(step.envelope.source)
        for fact in step.facts:
            yield CalvenEvent(
                endpoint="/v1/occupancy",
                event_id=fact.event_id,
                payload=fact.payload(config),
                source_id=source_id,
            )
        for turn in step.turns:
            for event_id, time_off in turn.sending.items():
                payload = time_off.payload(event_id, turn.employee.email)
                yield CalvenEvent(
                    endpoint="/v1/timeoff", event_id=event_id, payload=payload, not_after=turn.until
                )

    def _noted(self, step: _Step, results: Mapping[str, Result]) -> bool:
        """Note the results of one step; whether it has more to send."""
        if step.facts or step.within:
            self._end_occupancy(step, results)
            return False
        step.turns = list(filter(None, (self._finished(step, turn, results) for turn in step.turns)))
        if not step.turns:
            self._end_leave(step)
        return bool(step.turns)

    def _finished(
        self, step: _Step, turn: "Submission", results: Mapping[str, Result]
    ) -> "Submission | None":
        of_turn = {event_id: results[event_id] for event_id in turn.sending}
        if self._deadline.left_for_work() <= 0:
            # The lease runs out by itself; what Calven may have is sent again by whoever takes the event up.
            unnoted = Result(status="waiting", reason="no_time")
            step.failed += [found if found.status == "waiting" else unnoted for found in of_turn.values()]
            return None
        outcome = {i: r.status == "accepted" for i, r in of_turn.items() if r.status != "waiting"}
        step.accepted += sum(outcome.values())
        step.failed += [result for result in of_turn.values() if result.status != "accepted"]
        uncertain = any(result.uncertain for result in of_turn.values())
        try:
            return self._container.leaves.finish(turn, outcome, uncertain=uncertain)
        except TableUnavailable:
            return None  # what Calven accepted stays unconfirmed, and is sent again with the next change

    def _end_leave(self, step: _Step) -> None:
        """A leave's outcome: as one event, since what is left to send is computed anew from the ledger."""
        if step.accepted:
            self._outcomes[step.origin].append(Outcome("forwarded", step.envelope, events=step.accepted))
        waiting = next((result for result in step.failed if result.status == "waiting"), None)
        if waiting:
            self._queue(step.origin, step.envelope, waiting.reason, waiting.detail, waiting.retry_after)
        elif step.busy and self._busy is not None:
            self._busy.append(step)
        elif step.busy:
            self._queue(step.origin, step.envelope, "busy", "another change is being submitted")
        elif step.failed:
            refused = step.failed[0]
            self._dead_letter(step.origin, step.asked or step.envelope, refused.reason, refused.detail)
        elif step.refused:
            self._dead_letter(
                step.origin, step.asked or step.envelope, step.refused.reason, str(step.refused)
            )

    def _end_occupancy(self, step: _Step, results: Mapping[str, Result]) -> None:
        """Each fact's outcome by itself: what is left of the envelope holds only the facts at fault.

        A merged badge needs no care of its own: it is counted, and the facts that tell it have their outcomes.
        """
        if step.within:
            told = all(results.get(fact_id, NOT_SENT).status == "accepted" for fact_id in step.within)
            outcome: Literal["forwarded", "ignored"] = "forwarded" if told else "ignored"
            self._outcomes[step.origin].append(Outcome(outcome, step.envelope, "merged"))
        groups: dict[tuple[str, str], list[Fact]] = {}
        for fact in step.facts:
            result = results.get(fact.event_id, NOT_SENT)
            groups.setdefault((result.status, result.reason), []).append(fact)
        for (status, reason), facts in groups.items():
            if status == "accepted":
                self._outcomes[step.origin].append(Outcome("forwarded", step.envelope, events=len(facts)))
                continue
            result = results.get(facts[0].event_id, NOT_SENT)
            left = step.envelope.with_facts(facts)
            if len(groups) > 1:
                left = left.model_copy(update={"id": uuid4().hex})
            if status == "refused":
                self._dead_letter(step.origin, left, reason, result.detail)
            else:
                self._queue(step.origin, left, reason, result.detail, result.retry_after)

    def _reported(self, facts: Sequence[Fact]) -> None:
        if not facts:
            return
        try:
            self._container.reports.reported(facts)
        except TableUnavailable:
            return  # told again by the next badge on the way, or by the sweep


def _failed_whole(results: Mapping[str, Result]) -> tuple[str, str, float | None] | None:
    """Reason, detail and wait of a request that failed as a whole: then nobody is asked any more."""
    waiting = [result for result in results.values() if result.status == "waiting" and result.reason in WHOLE]
    if not waiting or len(waiting) < len(results):
        return None
    return waiting[0].reason, waiting[0].detail, waiting[0].retry_after
