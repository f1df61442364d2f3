"""The way of badges and sensor readings: settled in the ledger, sent as facts, noted as reported."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeAlias
from uuid import uuid4

from relay.aws.table import Key
from relay.calven import CalvenEvent, Result
from relay.config.model import Config, Door
from relay.delivery.outcome import Outcome, Told
from relay.delivery.step import Step, attempt, check, stopped
from relay.envelope import Envelope
from relay.errors import Ignore, Never, NotNow, Stop, TableUnavailable, Unparseable
from relay.events import BadgeEvent, SensorReading
from relay.invocation import Invocation
from relay.occupancy.days import Day, operating_day
from relay.occupancy.reported import fact_key
from relay.occupancy.rules import Badge, Fact, through
from relay.occupancy.settlement import Settlement, merged_reports

NOT_SENT = Result(status="waiting", reason="internal_error")
"""What became of a fact that another step was to send, and did not."""
OLDEST = timedelta(days=15)
"""The ledger's days last that long: what happened before changes no count that anybody would zero."""
TOGETHER = 50
"""So many badges are settled in one transaction, where the places that they touch leave room for it."""

Results: TypeAlias = Mapping[str, Result]
"""What Calven made of each event, by its `eventId`."""


@dataclass(frozen=True, slots=True)
class _AtDoor:
    """A badge whose door is known."""

    step: Step
    event: BadgeEvent
    door: Door


@dataclass(frozen=True, slots=True)
class _Placed:
    """A badge with the places that its door leads to, in its operating day."""

    step: Step
    badge: Badge
    day: Day


@dataclass(frozen=True, slots=True)
class _OfDay:
    """Badges of one operating day that are settled together, and their steps in the same order."""

    day: Day
    badges: Sequence[Badge]
    steps: Sequence[Step]


@dataclass(frozen=True, slots=True)
class _Settled:
    """What there is to send for a step; of a merged badge, the ids of the facts that report it.

    `counts` are the places whose count it changed, before and after; of what was settled before, as told.
    """

    step: Step
    facts: Sequence[Fact]
    merged_into: frozenset[str] = frozenset()
    counts: Mapping[str, Sequence[int | bool | None]] = field(default_factory=dict)


class Occupancy:
    """The occupancy events of one chunk. `settle` first, then `submissions`, then `conclude`."""

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation
        self._settled: list[_Settled] = []

    def settle(self, steps: Sequence[Step]) -> list[Outcome]:
        """Record every event in the ledger; the outcomes of those that leave nothing to send.

        Readings by themselves, in order; badges with the others of their operating day.
        """
        self._read_doors(steps)
        outcomes: list[Outcome] = []
        badges: list[_AtDoor] = []
        for step in steps:
            found = attempt(partial(self._settle_one, step), self._invocation, step)
            match found:
                case Stop():
                    outcomes.append(stopped(step, found, self._invocation))
                case _AtDoor():
                    badges.append(found)
                case _Settled():
                    self._settled.append(found)
        outcomes += self._settle_badges(badges)
        self._settled = _spaced(self._settled, self._invocation.pace.apart)
        return outcomes

    def submissions(self) -> Iterator[CalvenEvent]:
        """What Calven is to be told."""
        config = self._invocation.config
        for settled in self._settled:
            source_id = config.calven_source_id(settled.step.envelope.source)
            for fact in settled.facts:
                yield CalvenEvent(
                    endpoint="/v1/occupancy",
                    event_id=fact.event_id,
                    payload=fact.payload(config),
                    source_id=source_id,
                )

    def conclude(self, results: Results) -> list[Outcome]:
        """Note what Calven accepted; what became of each event."""
        outcomes: list[Outcome] = []
        facts = [fact for settled in self._settled for fact in settled.facts]
        for settled in self._settled:
            outcomes += _with_counts(settled, _concluded(settled, results, self._invocation.utc_now()))
        report(accepted_facts(facts, results), self._invocation)
        self._settled.clear()
        return outcomes

    def _read_doors(self, steps: Sequence[Step]) -> None:
        """Read the doors of several badges together: each by itself would be a request."""
        configuration = self._invocation.configuration
        doors = [
            (configuration.config.called(step.envelope.source), step.envelope.event.door)
            for step in steps
            if isinstance(step.envelope.event, BadgeEvent)
        ]
        if len(doors) > 1:
            # Where that fails, each badge looks for its own door, and says what is wrong with it.
            attempt(partial(configuration.read_doors, doors), self._invocation)

    def _settle_one(self, step: Step) -> _AtDoor | _Settled:
        check(step, self._invocation)
        match step.envelope.event:
            case None:
                return self._settled_before(step)
            case BadgeEvent() as badge:
                return _AtDoor(step, badge, self._door(badge, step.envelope))
            case SensorReading() as reading:
                facts = self._settle_reading(reading, step.envelope)
                return _Settled(step, facts, counts=_said(facts))
        raise Unparseable("event: it belongs to the other family's route")

    def _settled_before(self, step: Step) -> _Settled:
        """An event that was settled before it waited: its facts are all that is left to send."""
        facts = step.envelope.calven or ()
        if self._invocation.configuration.is_shadowed(step.envelope.source):
            # It counted while its source was live. What is pending is reported when that is live again.
            self._invocation.unsent.mark(facts, self._invocation.deadline)
            raise Ignore(reason="shadow")
        return _Settled(step, facts, counts=_said(facts))

    def _door(self, badge: BadgeEvent, envelope: Envelope) -> Door:
        if badge.person is None:
            raise Ignore(reason="anonymous")
        self._refuse_stale(badge.at)
        # What is shadowed is found out now, as that may read the configuration anew.
        self._invocation.configuration.is_shadowed(envelope.source)
        source = self._invocation.config.called(envelope.source)
        door = self._invocation.configuration.door(source, badge.door)
        if door is None:
            raise self._unmapped(f"door {badge.door}", envelope)
        return door

    def _refuse_stale(self, at: datetime) -> None:
        """Refuse what is older than the ledger's days: nobody would ever correct what it says."""
        if self._invocation.utc_now() - at > OLDEST:
            raise Never("its time is over 15 days ago: look at the device's clock", reason="stale_time")

    def _unmapped(self, what: str, envelope: Envelope) -> Stop:
        """What becomes of an event whose door, sensor or place is not in the configuration."""
        config = self._invocation.config
        source = config.sources.get(config.called(envelope.source))
        if source is None:
            # The next push may have it again: until then its events wait.
            return NotNow("the source is not configured any more", reason="unknown_source")
        if source.unmapped_doors == "ignore":
            return Ignore(reason="unmapped_door")
        return Never(f"{what} is not configured", reason="unmapped_door")

    def _settle_reading(self, reading: SensorReading, envelope: Envelope) -> Sequence[Fact]:
        self._refuse_stale(reading.at)
        shadow = self._invocation.configuration.is_shadowed(envelope.source)
        configuration, called = (
            self._invocation.configuration,
            self._invocation.config.called(envelope.source),
        )
        sensor = configuration.sensor(called, reading.sensor)
        config = configuration.config
        if sensor is None or sensor.place not in config.places:
            raise self._unmapped(f"sensor {reading.sensor}", envelope)
        facts, reason = self._invocation.readings.settle(
            reading,
            config.key(called),
            config.places[sensor.place].location_id,
            envelope.received_at.timestamp(),
            config,
            partial(self._watches, sensor.place, shadow=shadow),
            self._invocation.deadline,
        )
        if shadow or not facts:
            raise Ignore(reason="shadow" if shadow else reason)
        return facts

    def _watches(self, place: str, source: str, sensor: str, *, shadow: bool) -> bool:
        """Whether a sensor of a source (by its key in the ledger) counts for a place, live or in shadow."""
        config = self._invocation.config
        if (source in config.shadowed) != shadow:
            return False
        found = self._invocation.configuration.sensor(config.named(source), sensor)
        return found is not None and found.place == place

    def _settle_badges(self, badges: Sequence[_AtDoor]) -> list[Outcome]:
        """Count badges in order of time, those of one operating day in as few transactions as possible."""
        # Every door has been looked up: from here on the configuration does not change.
        config = self._invocation.config
        outcomes: list[Outcome] = []
        days: dict[Day, list[_Placed]] = {}
        for badge in badges:
            placed = attempt(partial(self._place, badge, config), self._invocation, badge.step)
            if isinstance(placed, Stop):
                outcomes.append(stopped(badge.step, placed, self._invocation))
            else:
                days.setdefault(placed.day, []).append(placed)
        for parts in _rounds(days):
            for part, settled in zip(parts, self._settle_together(parts, config), strict=True):
                outcomes += self._settle_day(part, config) if settled is None else self._settle(part, settled)
        return outcomes

    def _place(self, at_door: _AtDoor, config: Config) -> _Placed:
        envelope, door = at_door.step.envelope, at_door.door
        if door.place not in config.places:
            raise self._unmapped(f"the place of door {at_door.event.door}", envelope)
        source = config.key(envelope.source)
        badge = through(at_door.event, door, source, envelope.received_at.timestamp(), config)
        site = config.around(badge.place)[-1]
        day = operating_day(config, site, badge.at).for_source(shadowed=source in config.shadowed)
        return _Placed(at_door.step, badge, day)

    def _settle_together(
        self, parts: Sequence[_OfDay], config: Config
    ) -> Sequence[Sequence[Settlement] | None]:
        """What becomes of the badges of several days; None for those that are to be settled by themselves."""
        if len(parts) == 1:
            return [None]
        invocation = self._invocation
        badges = [(part.day, part.badges) for part in parts]
        settle = partial(
            invocation.headcount.settle_together, badges, config, invocation.deadline, invocation.pace
        )
        settled = attempt(settle, invocation, *(step for part in parts for step in part.steps))
        # Whatever is wrong, by itself each day shows whether it is at fault.
        return [None] * len(parts) if isinstance(settled, Stop) else settled

    def _settle_day(self, part: _OfDay, config: Config) -> list[Outcome]:
        invocation = self._invocation
        settle = partial(
            invocation.headcount.settle, part.badges, part.day, config, invocation.deadline, invocation.pace
        )
        settled = attempt(settle, invocation, *part.steps)
        if isinstance(settled, Stop):
            return [stopped(step, settled, invocation) for step in part.steps]
        return self._settle(part, settled)

    def _settle(self, part: _OfDay, settlements: Sequence[Settlement]) -> list[Outcome]:
        """Keep what there is to send of some badges; the outcomes of the others."""
        if part.day.shadow:
            return [step.ignored("shadow") for step in part.steps]
        outcomes: list[Outcome] = []
        for step, settled in zip(part.steps, settlements, strict=True):
            if settled.facts or settled.merged_into:
                self._settled.append(_Settled(step, settled.facts, settled.merged_into, settled.counts))
            else:
                outcomes.append(step.ignored(settled.reason))
        return outcomes


def _rounds(days: Mapping[Day, Sequence[_Placed]]) -> Iterator[list[_OfDay]]:
    """The badges of some days in order of time: in each round as many of a day as go together."""
    in_order = {day: sorted(placed, key=lambda one: one.badge.order) for day, placed in days.items()}
    longest = max(map(len, in_order.values()), default=0)
    for start in range(0, longest, TOGETHER):
        parts: list[_OfDay] = []
        for day, placed in in_order.items():
            some = placed[start : start + TOGETHER]
            if some:
                parts.append(_OfDay(day, [one.badge for one in some], [one.step for one in some]))
        yield parts


def _spaced(all_settled: Sequence[_Settled], least_gap_ms: int) -> list[_Settled]:
    """What there is to send, without the reports of badges that later ones of any round follow too soon.

    What a sensor says, and what was settled before, is sent as it is.
    """
    badges = [settled for settled in all_settled if isinstance(settled.step.envelope.event, BadgeEvent)]
    others = [settled for settled in all_settled if not isinstance(settled.step.envelope.event, BadgeEvent)]
    merged = merged_reports([fact for settled in badges for fact in settled.facts], least_gap_ms)
    return [*others, *(_without(settled, merged) for settled in badges)]


def _without(settled: _Settled, merged: Mapping[str, str]) -> _Settled:
    """What there is to send of a badge without its merged facts; with nothing left it is merged itself."""
    facts = [fact for fact in settled.facts if fact.event_id not in merged]
    if facts:
        return replace(settled, facts=facts)
    reported_by = settled.merged_into.union(fact.event_id for fact in settled.facts)
    merged_into = frozenset(merged.get(fact_id, fact_id) for fact_id in reported_by)
    return replace(settled, facts=(), merged_into=merged_into)


def report(facts: Sequence[Fact], invocation: Invocation) -> None:
    """Note that Calven has these facts, or will get them out of a queue."""
    if not facts:
        return
    try:
        invocation.reports.mark_reported(facts)
    except TableUnavailable:
        return  # reported again by the next badge on the way, or by the schedule


def accepted_facts(facts: Sequence[Fact], results: Results) -> list[Fact]:
    """The facts that Calven accepted, without those whose other half waits still.

    A late badge's count and the zero behind it have one version: noted for one, it would be noted for both.
    """
    accepted = [fact for fact in facts if _result(fact, results).status == "accepted"]
    waiting = {_versioned(fact) for fact in facts if _result(fact, results).status != "accepted"}
    return [fact for fact in accepted if _versioned(fact) not in waiting]


def _versioned(fact: Fact) -> tuple[Key, int]:
    return fact_key(fact), fact.version


def _result(fact: Fact, results: Results) -> Result:
    return results.get(fact.event_id, NOT_SENT)


def _concluded(settled: _Settled, results: Results, now: datetime) -> Iterator[Outcome]:
    """Each fact's outcome by itself: what is left of the envelope holds only the facts at fault."""
    step = settled.step
    if settled.merged_into:
        yield _concluded_merged(settled, results)
    groups: dict[tuple[str, str], list[Fact]] = {}
    for fact in settled.facts:
        result = _result(fact, results)
        groups.setdefault((result.status, result.reason), []).append(fact)
    for (status, reason), facts in groups.items():
        result = _result(facts[0], results)
        told = Told(event=step.envelope.event, ids=[fact.event_id for fact in facts], result=result)
        if status == "accepted":
            yield replace(step.forwarded(len(facts)), told=told)
            continue
        left = step.envelope.with_facts(facts)
        # One envelope becomes several, which logs and queues tell apart by their ids.
        if len(groups) > 1:
            left = left.model_copy(update={"id": uuid4().hex})
        if status == "refused":
            yield replace(step.dead(reason, result.detail, now, left), told=told)
        else:
            yield replace(step.queued(reason, result.detail, now, result.retry_after, left), told=told)


def _with_counts(settled: _Settled, outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    """The outcomes of an event, of which the first says which counts it changed."""
    counts = settled.counts
    for outcome in outcomes:
        yield replace(outcome, told=replace(outcome.told, counts=counts))
        counts = {}


def _said(facts: Sequence[Fact]) -> dict[str, Sequence[int | bool | None]]:
    """What facts say of their places, by name: how many people, else whether there is anybody."""
    return {fact.place: (fact.occupied if fact.people is None else fact.people,) for fact in facts}


def _concluded_merged(settled: _Settled, results: Results) -> Outcome:
    """A merged badge is counted: the facts that report it have outcomes of their own, and it needs none."""
    for fact_id in settled.merged_into:
        if results.get(fact_id, NOT_SENT).status != "accepted":
            return settled.step.ignored("merged")
    return settled.step.forwarded(reason="merged")
