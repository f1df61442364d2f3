"""The way of an event, once, for all functions: open, settle, forward, and say what became of it.

An `Envelope` goes in, and one or more `Fate`s come out. Opening parses a stored request and asks a thin
vendor's API; settling records a domain event in the ledger; all that is then to be sent goes to Calven in as
few requests as possible, and the results are noted. Storing what cannot be forwarded is the caller's: the
webhook functions send it to a queue, the retry function leaves it there.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar
from uuid import uuid4

from pydantic import ValidationError

from relay import occupancy, vendors
from relay.calven import MAX_EVENTS, Result, Submission
from relay.config import Source
from relay.deadline import Deadline
from relay.errors import (
    Ignore,
    Never,
    NotNow,
    TableUnavailable,
    Unparseable,
    VendorRefused,
    VendorUnavailable,
)
from relay.events import BadgeEvent, Event, Ignored, LeaveChange, LeaveNotice, Unread, Webhook, unparseable
from relay.fates import Fate
from relay.leave import Turn
from relay.observability import Telemetry, whereabouts
from relay.occupancy import Fact
from relay.runtime import Relay
from relay.secrets import SourceSecret
from relay.unprocessed import Envelope, Kind, StoredRequest
from relay.vendor_api import VendorClient
from relay.vendors.base import Api

KINDS: Mapping[str, Kind] = {"access-control": "occupancy", "hris": "time_off"}
NO_PLACE = Result(
    status="refused", reason="unknown_location", detail="the place is not in the configuration any more"
)
CALL_SECONDS = 10.0
"""How long one request may take where no vendor waits for an answer."""
LEAST_SECONDS = 0.2
"""With less than this left for work, a step is not begun."""


T = TypeVar("T")


@dataclass(slots=True)
class _Step:
    """An envelope whose event is settled: what to send for it, and what became of that so far.

    `origin` is the place of the envelope that it came from among those that are being processed.
    """

    envelope: Envelope
    origin: int = 0
    facts: list[Fact] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    busy: bool = False
    accepted: int = 0
    failed: list[Result] = field(default_factory=list)


class Pipeline:
    """Processes the envelopes of one invocation. `call_seconds` bounds each request to Calven or a vendor."""

    def __init__(
        self, relay: Relay, deadline: Deadline, telemetry: Telemetry, call_seconds: float = float("inf")
    ) -> None:
        self._relay = relay
        self._deadline = deadline
        self._telemetry = telemetry
        self._call_seconds = call_seconds
        self._fates: list[list[Fate]] = []
        self._silent: set[str] = set()

    def process(self, envelopes: Sequence[Envelope]) -> list[list[Fate]]:
        """Open, settle and forward; the fates of each envelope, in the same order. Stores nothing."""
        self._fates = [[] for _ in envelopes]
        steps = []
        for origin, envelope in enumerate(envelopes):
            for opened in self._guarded(origin, envelope, self._opened) or ():
                step = self._guarded(origin, opened, self._settled)
                if step is not None:
                    step.origin = origin
                    steps.append(step)
        while steps:
            steps = self._forward(steps)
        return self._fates

    def store_first(self, envelope: Envelope) -> list[Fate]:
        """Parse an envelope's request, and have every event of it queued instead of settled.

        A request that only announces something is queued as it is.
        """
        self._fates = [[]]
        for parsed in self._guarded(0, envelope, self._unfetched) or ():
            if isinstance(parsed.event, Ignored):
                self._fates[0].append(Fate("ignored", parsed, parsed.event.reason))
            elif parsed.request is not None and parsed.detail:
                self._dead_letter(0, parsed, "unparseable", parsed.detail)
            else:
                waiting = parsed.model_copy(update={"reason": "store_first"})
                self._fates[0].append(Fate("queued", waiting, "store_first"))
        return self._fates[0]

    def stored(self, fates: Sequence[Fate]) -> None:
        """Note that dead letters are safe in their queue: their counts are not told a second time."""
        self._reported(
            [fact for fate in fates if fate.outcome == "dead-lettered" for fact in fate.envelope.calven or ()]
        )

    def _guarded(self, origin: int, envelope: Envelope, step: Callable[[Envelope], T]) -> T | None:
        """One step of one envelope; where it cannot go on, its fate."""
        try:
            return step(envelope)
        except Ignore as stop:
            self._fates[origin].append(Fate("ignored", envelope, stop.reason))
        except Never as stop:
            self._dead_letter(origin, envelope, stop.reason, str(stop))
        except NotNow as stop:
            self._queue(origin, envelope, stop.reason, str(stop), stop.retry_after)
        except Exception as error:  # noqa: BLE001 - a fault of ours must cost no event, nor hold up others
            self._telemetry.problem("internal error", error=whereabouts(error), envelope_id=envelope.id)
            self._queue(origin, envelope, "internal_error", "")
        return None

    def _queue(
        self, origin: int, envelope: Envelope, reason: str, detail: str, wait: float | None = None
    ) -> None:
        failed = envelope.failed(reason, detail, self._now())
        self._fates[origin].append(Fate("queued", failed, reason, wait=wait))

    def _dead_letter(self, origin: int, envelope: Envelope, reason: str, detail: str) -> None:
        failed = envelope.failed(reason, detail, self._now())
        self._fates[origin].append(Fate("dead-lettered", failed, reason))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._relay.clock(), UTC)

    def _opened(self, envelope: Envelope) -> list[Envelope]:
        """The envelope, or where it holds a request, one for each event that it turns out to be."""
        if envelope.request is None:
            return [envelope]
        found = [event for parsed in self._parsed(envelope) for event in self._fetched(parsed, envelope)]
        return self._split(envelope, found)

    def _unfetched(self, envelope: Envelope) -> list[Envelope]:
        events = self._parsed(envelope)
        thin = any(isinstance(event, LeaveNotice) for event in events)
        return [envelope] if thin else self._split(envelope, events)

    def _parsed(self, envelope: Envelope) -> Sequence[Event]:
        request = envelope.request or StoredRequest(body="")
        try:
            events = vendors.load(envelope.vendor).parse(request.webhook(envelope.received_at.timestamp()))
        except vendors.UnknownVendor:
            raise Unparseable("no such vendor") from None
        except ValidationError as error:
            raise unparseable(error) from None
        if len(events) > MAX_EVENTS:
            raise Unparseable(f"body: more than {MAX_EVENTS} events in one delivery")
        return events

    def _fetched(self, event: Event, envelope: Envelope) -> Sequence[Event]:
        vendor = vendors.load(envelope.vendor)
        if not isinstance(event, LeaveNotice) or vendor.fetch is None or vendor.api is None:
            return [event]
        self._check_time()
        if envelope.source in self._silent:
            raise VendorUnavailable("the vendor's API did not answer for another event of this batch")
        secret = self._relay.secrets.source(vendor.family, envelope.source)
        try:
            return vendor.fetch(event, self._client(vendor.api, secret))
        except VendorRefused:
            renewed = self._relay.secrets.refetch_source(vendor.family, envelope.source)
            if renewed in (None, secret):
                raise
            return vendor.fetch(event, self._client(vendor.api, renewed))
        except VendorUnavailable:
            self._silent.add(envelope.source)
            raise

    def _client(self, api: Api, secret: SourceSecret) -> VendorClient:
        limit = self._deadline.at_most(min(self._deadline.left_for_work(), self._call_seconds))
        return VendorClient(api, secret, self._relay.http, limit, self._relay.clock)

    def _split(self, envelope: Envelope, events: Sequence[Event]) -> list[Envelope]:
        """An envelope for each event, under an id of its own where there are several; nobody is named."""
        parts = []
        for event in events or [Ignored(reason="no_event")]:
            part_id = {"id": uuid4().hex} if len(events) > 1 else {}
            parts.append(envelope.model_copy(update={**self._part(event, envelope), **part_id}))
        return parts

    def _part(self, event: Event, envelope: Envelope) -> dict[str, object]:
        """What an envelope holds of one event; of an unreadable one, a request of its own."""
        if isinstance(event, Unread):
            webhook = Webhook(body=event.body.encode(), received_at=envelope.received_at.timestamp())
            return {"request": StoredRequest.of(webhook), "detail": event.detail}
        shown = self._anonymous(event, envelope) if isinstance(event, BadgeEvent) else event
        return {"event": shown, "request": None}

    def _check_time(self) -> None:
        if self._deadline.left_for_work() < LEAST_SECONDS:
            raise NotNow(reason="no_time")

    def _anonymous(self, badge: BadgeEvent, envelope: Envelope) -> BadgeEvent:
        if badge.person is None:
            return badge
        return occupancy.anonymous(badge, envelope.source, self._relay.secrets.person_key())

    def _settled(self, envelope: Envelope) -> _Step:
        """Record the event in the ledger. Raises `Ignore` where there is nothing to send."""
        self._check_time()
        if envelope.request is not None:
            raise Unparseable(envelope.detail)
        match envelope.event:
            case BadgeEvent() as badge:
                return _Step(envelope, facts=self._settled_badge(badge, envelope))
            case LeaveChange() as change:
                return self._settled_leave(change, envelope)
            case LeaveNotice() | Unread():
                raise Unparseable("event: no event that can be settled")
            case Ignored() as ignored:
                raise Ignore(reason=ignored.reason)
        return _Step(envelope, facts=list(envelope.calven or ()))

    def _settled_badge(self, badge: BadgeEvent, envelope: Envelope) -> list[Fact]:
        if badge.person is None:
            raise Ignore(reason="anonymous")
        source = self._source(envelope)
        door = self._relay.config.door(envelope.source, badge.door)
        config = self._relay.config.current()
        if door is None or door.place not in config.places:
            if source.unmapped_doors == "ignore":
                raise Ignore(reason="unmapped_door")
            raise Never(f"door {badge.door} is not configured", reason="unmapped_door")
        passage = occupancy.through(badge, door, envelope.source, envelope.received_at.timestamp(), config)
        settled = self._relay.headcount.settle(passage, config, self._deadline)
        if not settled.facts:
            raise Ignore(reason=settled.reason)
        return list(settled.facts)

    def _settled_leave(self, change: LeaveChange, envelope: Envelope) -> _Step:
        seconds = min(self._deadline.left_for_work(), 2 * self._call_seconds)
        recorded = self._relay.leaves.record(change, envelope.source, self._source(envelope), seconds)
        if not recorded.turns and not recorded.busy:
            raise Ignore(reason=recorded.reason)
        return _Step(envelope, turns=list(recorded.turns), busy=recorded.busy)

    def _source(self, envelope: Envelope) -> Source:
        source = self._relay.config.current().sources.get(envelope.source)
        if source is None:
            raise NotNow("the source is not configured any more", reason="unknown_source")
        return source

    def _forward(self, steps: Sequence[_Step]) -> list[_Step]:
        """Send all that the steps have to send, and note the results; the steps that have more to send."""
        submissions = [submission for step in steps for submission in self._submissions(step)]
        results = self._sent(submissions)
        more = [s for s in steps if self._guarded(s.origin, s.envelope, partial(self._noted, s, results))]
        accepted = [
            f for s in steps for f in s.facts if results.get(f.event_id, NO_PLACE).status == "accepted"
        ]
        self._reported(accepted)
        return more

    def _sent(self, submissions: Sequence[Submission]) -> Mapping[str, Result]:
        limit = self._deadline.at_most(self._deadline.left_for_work())
        try:
            return self._relay.calven.submit(submissions, limit, call_seconds=self._call_seconds)
        except Exception as error:  # noqa: BLE001 - a fault of ours must cost no event
            self._telemetry.problem("internal error", error=whereabouts(error))
            return {s.event_id: Result(status="waiting", reason="internal_error") for s in submissions}

    def _submissions(self, step: _Step) -> Iterator[Submission]:
        config = self._relay.config.current()
        source_id = config.calven_source_id(step.envelope.source)
        for fact in step.facts:
            if place := config.places.get(fact.place):
                payload = fact.payload(place)
                yield Submission(
                    endpoint="/v1/occupancy", event_id=fact.event_id, payload=payload, source_id=source_id
                )
        for turn in step.turns:
            for event_id, time_off in turn.sending.items():
                payload = time_off.payload(event_id, turn.employee.email)
                yield Submission(
                    endpoint="/v1/timeoff", event_id=event_id, payload=payload, not_after=turn.until
                )

    def _noted(self, step: _Step, results: Mapping[str, Result], _: Envelope) -> bool:
        """Note the results of one step; whether it has more to send."""
        if step.facts:
            self._end_occupancy(step, results)
            return False
        step.turns = list(filter(None, (self._finished(step, turn, results) for turn in step.turns)))
        if not step.turns:
            self._end_leave(step)
        return bool(step.turns)

    def _finished(self, step: _Step, turn: Turn, results: Mapping[str, Result]) -> Turn | None:
        of_turn = {event_id: results[event_id] for event_id in turn.sending}
        outcome = {i: r.status == "accepted" for i, r in of_turn.items() if r.status != "waiting"}
        step.accepted += sum(outcome.values())
        step.failed += [result for result in of_turn.values() if result.status != "accepted"]
        uncertain = any(result.uncertain for result in of_turn.values())
        try:
            return self._relay.leaves.finish(turn, outcome, uncertain=uncertain)
        except TableUnavailable:
            return None  # what Calven accepted stays unconfirmed, and is sent again with the next change

    def _end_leave(self, step: _Step) -> None:
        """A leave's fate: as one event, since what is left to send is computed anew from the ledger."""
        if step.accepted:
            self._fates[step.origin].append(Fate("forwarded", step.envelope, events=step.accepted))
        waiting = next((result for result in step.failed if result.status == "waiting"), None)
        if waiting:
            self._queue(step.origin, step.envelope, waiting.reason, waiting.detail, waiting.retry_after)
        elif step.busy:
            self._queue(step.origin, step.envelope, "busy", "another change is being submitted")
        elif step.failed:
            refused = step.failed[0]
            self._dead_letter(step.origin, step.envelope, refused.reason, refused.detail)

    def _end_occupancy(self, step: _Step, results: Mapping[str, Result]) -> None:
        """Each fact's fate by itself: what is left of the envelope holds only the facts at fault."""
        groups: dict[tuple[str, str], list[Fact]] = {}
        for fact in step.facts:
            result = results.get(fact.event_id, NO_PLACE)
            groups.setdefault((result.status, result.reason), []).append(fact)
        for (status, reason), facts in groups.items():
            result = results.get(facts[0].event_id, NO_PLACE)
            left = step.envelope.with_facts(facts)
            if len(groups) > 1:
                left = left.model_copy(update={"id": uuid4().hex})
            if status == "accepted":
                self._fates[step.origin].append(Fate("forwarded", step.envelope, events=len(facts)))
            elif status == "refused":
                self._dead_letter(step.origin, left, reason, result.detail)
            else:
                self._queue(step.origin, left, reason, result.detail, result.retry_after)

    def _reported(self, facts: Sequence[Fact]) -> None:
        if not facts:
            return
        try:
            self._relay.headcount.reported(facts)
        except TableUnavailable:
            return  # told again by the next badge on the way, or by the sweep
