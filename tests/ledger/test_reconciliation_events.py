"""What happened at doors and no webhook told: a list of today's badges brings it in, and nothing else."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from relay import vendors
from relay.deadline import BATCH, Deadline
from relay.errors import VendorUnavailable
from relay.events import BadgeEvent, Event, MalformedEvent, SensorReading, iso
from relay.invocation import Invocation
from relay.observability import Telemetry
from relay.reconciliation.events import EventReconciliation
from relay.reconciliation.report import Report
from relay.reconciliation.wishes import Wishes
from relay.vendors.support.base import Api, VendorApi
from relay.vendors.support.listing import EventList, EventPage, Page, Span
from tests.rig import NOON, Rig, sample

pytestmark = pytest.mark.slow

INSIDE, OUTSIDE = "48211", "48212"
DESK = "emudeskoccupancy01"


class Log:
    """What happened at Kisi's doors, and how Kisi lists that."""

    def __init__(self) -> None:
        self.events: list[BadgeEvent] = []
        self.odd: list[float] = []
        self.spans: list[Span] = []

    def badge(self, person: str, at: float, door: str = INSIDE) -> BadgeEvent:
        """Somebody at a door."""
        event = BadgeEvent(
            event_id=f"event-{len(self.events)}", at=datetime.fromtimestamp(at, UTC), door=door, person=person
        )
        self.events.append(event)
        return event

    def page(self, api: VendorApi, span: Span, following: str | None) -> Page:
        """One event on each page, of the time that is asked for."""
        if following is None:
            self.spans.append(span)
        found: Sequence[Event] = [
            event for event in self.events if span.since < event.at.timestamp() <= span.until
        ]
        # Events that cannot be read, by the times when they happened.
        odd = [at for at in self.odd if span.since < at <= span.until]
        found = [*found, *(MalformedEvent(event_id="odd", body="{}", detail="type: unknown") for _ in odd)]
        number = int(following or 0)
        return Page(found[number : number + 1], str(number + 1) if number + 1 < len(found) else None)


def reconcile(
    rig: Rig,
    log: Log,
    wishes: Wishes | None = None,
    page: EventPage | None = None,
    of: str = "kisi",
) -> Report:
    """Reconcile the source of a vendor, Kisi unless another is named, and let the retry function work."""
    deadline = Deadline(rig.clock() + 600, rig.clock)
    invocation = Invocation(rig.relay, deadline, Telemetry("run"), BATCH)
    # The list is this test's: no API is asked.
    vendor = replace(vendors.load(of), api=Api(host="https://kisi.example.com", fields=()))
    lists = EventList(page=page or log.page)
    run = EventReconciliation(invocation, rig.source(of), vendor, lists, wishes or Wishes(by_hand=True))
    report = run.run()
    rig.retry()
    return report


def test_lost_badges(rig: Rig) -> None:
    """Badges that no webhook told are counted, those that one told are not; a second time nothing is."""
    log = Log()
    log.badge("kim@example.com", NOON - 3600)
    log.badge("lou@example.com", NOON - 1800)
    log.badge("lou@example.com", NOON - 900, OUTSIDE)
    report = reconcile(rig, log)
    assert (report.status, report.listed, report.found, report.queued) == ("complete", 3, 3, 3)
    assert rig.counts() == {"sydney-l3": 1, "sydney": 2}
    before = len(rig.requests())
    again = reconcile(rig, log)
    assert (again.found, again.queued) == (0, 0)
    assert len(rig.requests()) == before


def test_span(rig: Rig) -> None:
    """The first run lists today's operating day, the next ones what is new and a quarter of an hour more."""
    log = Log()
    reconcile(rig, log)
    # 04:00 in Sydney.
    assert log.spans[0] == Span(since=NOON - 11 * 3600, until=NOON)
    rig.clock.advance(900)
    reconcile(rig, log)
    assert log.spans[1] == Span(since=NOON - 900, until=NOON + 900)


def test_unreadable_event(rig: Rig) -> None:
    """A list with an event that cannot be read is incomplete; the event is not listed again."""
    log = Log()
    log.odd = [NOON - 3600]
    report = reconcile(rig, log)
    said = "entries of the list that cannot be read: 1; the first: odd: type: unknown"
    assert (report.status, report.detail) == ("incomplete", said)
    log.badge("kim@example.com", NOON + 60)
    rig.clock.advance(3600)
    report = reconcile(rig, log, Wishes())
    assert (report.status, report.queued, log.spans[1].since) == ("complete", 1, NOON - 900)
    assert rig.counts() == {"sydney-l3": 1, "sydney": 1}


def test_yesterday(rig: Rig) -> None:
    """What happened in a day that is over is nobody's count today."""
    log = Log()
    log.badge("kim@example.com", NOON - 86400)

    def everything(api: VendorApi, span: Span, following: str | None) -> Page:
        return Page(log.events)

    report = reconcile(rig, log, page=everything)
    assert (report.status, report.found) == ("complete", 0)


def test_unmapped_door(rig: Rig) -> None:
    """A door that nobody has mapped is counted in the report, and is no dead letter with each run."""
    log = Log()
    log.badge("kim@example.com", NOON - 60, "nowhere")
    report = reconcile(rig, log)
    assert (report.found, report.unmapped) == (0, 1)
    assert rig.dead_letters() == []


def test_early_badge(rig: Rig) -> None:
    """A badge of a fast clock is no news once it has come, although it is newer than what it counted as."""
    log = Log()
    reconcile(rig, log)
    for event in (log.badge("77", NOON + 600), log.badge("77", NOON + 60, OUTSIDE)):
        said = {"uuid": event.event_id, "actor_id": 77, "object_id": int(event.door)}
        rig.post("kisi", sample("kisi", "badge-in", created_at=event.at.isoformat(), **said))
        rig.clock.advance(60)
    rig.clock.now = NOON + 700
    report = reconcile(rig, log)
    assert (report.listed, report.found, report.queued) == (2, 0, 0)


def test_early_reading(rig: Rig) -> None:
    """Likewise a reading of a fast clock, however many readings came after it."""
    reading = SensorReading(
        event_id="early", at=datetime.fromtimestamp(NOON + 600, UTC), sensor=DESK, occupied=True
    )

    def page(api: VendorApi, span: Span, following: str | None) -> Page:
        return Page([reading] if span.until > NOON + 600 else [])

    def post(event_id: str, at: float) -> None:
        said = {"event__eventId": event_id, "event__timestamp": iso(at)}
        rig.post("disruptive", sample("disruptive", "desk-occupied", **said))

    reconcile(rig, Log(), page=page, of="disruptive")
    post("early", NOON + 600)
    for second in range(20):
        rig.clock.advance(1)
        post(f"on time {second}", rig.clock())
    rig.clock.now = NOON + 700
    report = reconcile(rig, Log(), page=page, of="disruptive")
    assert (report.listed, report.found, report.queued) == (1, 0, 0)


def test_schedule_only_reports_at_first(rig: Rig) -> None:
    """Until somebody has reconciled by hand, nothing is counted."""
    log = Log()
    log.badge("kim@example.com", NOON - 60)
    assert reconcile(rig, log, Wishes()).found == 1
    assert rig.counts() == {}


def test_first_run_by_hand(rig: Rig) -> None:
    """The first run by hand lists all of today: what was only reported before has not been counted."""
    log = Log()
    log.badge("kim@example.com", NOON - 3600)
    reconcile(rig, log, Wishes())
    rig.clock.advance(900)
    reconcile(rig, log)
    assert log.spans[-1].since == NOON - 11 * 3600
    assert rig.counts() == {"sydney-l3": 1, "sydney": 1}


def test_nobody_is_named(rig: Rig) -> None:
    """What is queued names nobody."""
    log = Log()
    log.badge("kim@example.com", NOON - 60)
    deadline = Deadline(rig.clock() + 600, rig.clock)
    invocation = Invocation(rig.relay, deadline, Telemetry("run"), BATCH)
    vendor = replace(vendors.load("kisi"), api=Api(host="https://kisi.example.com", fields=()))
    EventReconciliation(
        invocation, "kisi-sydney", vendor, EventList(page=log.page), Wishes(by_hand=True)
    ).run()
    [envelope] = rig.waiting()
    assert "kim" not in str(envelope)


def test_run_that_is_broken_off(rig: Rig) -> None:
    """Each process says what it has found itself: together they come to what was missing."""
    log = Log()
    reconcile(rig, log)
    rig.clock.advance(60)
    for number in range(3):
        log.badge(f"p{number}@example.com", rig.clock() - 30 + number)

    def silent(api: VendorApi, span: Span, following: str | None) -> Page:
        if following == "2":
            raise VendorUnavailable("the vendor's API answered 503")
        return log.page(api, span, following)

    runs = [reconcile(rig, log, Wishes(), page) for page in (silent, silent, log.page)]
    assert [run.status for run in runs] == ["incomplete", "incomplete", "complete"]
    assert [run.found_now for run in runs] == [2, 0, 1]
    assert [run.found for run in runs] == [2, 2, 3]
