"""Any history of leave, any webhooks lost, reconciled at any moment: Calven ends with what is approved."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, Literal, cast, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay import vendors
from relay.config.model import Config, Place, Source
from relay.deadline import Deadline
from relay.envelope import Envelope
from relay.errors import InvalidLeave, VendorUnavailable
from relay.events import LeaveChange, iso
from relay.invocation import Invocation
from relay.reconciliation.leave import LeaveReconciliation
from relay.reconciliation.report import Report
from relay.reconciliation.runs import LEASE_SECONDS
from relay.reconciliation.wishes import Wishes
from relay.time_off.days import span
from relay.time_off.ledger import Leaves
from relay.vendors.support.base import Api, VendorApi
from relay.vendors.support.listing import LeaveList, Page, Window
from tests.leave_book import as_arrival
from tests.memory import Memory
from tests.moto_table import many
from tests.rig import Clock

pytestmark = [pytest.mark.no_cover, pytest.mark.slow]

FIRST = date(2026, 11, 9)
IDS = ("a", "b", "c")
WHO = ("kim@example.com", "lou@example.com")
How = Literal["at once", "waits", "lost"]
"""What becomes of a webhook: it is settled when it is received, or waits in the queue, or never comes."""
WISHES = Wishes(by_hand=True, accept_ends=True)


class Killed(Exception):
    """The process dies."""


@dataclass
class Held:
    """What Calven holds, and whether it was ever told what it need not be."""

    days: set[tuple[str, date]] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)

    def take(self, email: str, start: date, end: date, *, away: bool) -> None:
        """A time-off event that Calven accepts."""
        for day in span(start, end):
            if away == ((email, day) in self.days):
                self.faults.append(f"{'scheduled' if away else 'cancelled'} again: {email} {day}")
            if away:
                self.days.add((email, day))
            else:
                self.days.discard((email, day))


class Queue:
    """The Unprocessed queue."""

    def __init__(self) -> None:
        self.waiting: list[Envelope] = []

    def retry_later(self, envelopes: Sequence[tuple[Envelope, float]]) -> None:
        """Store envelopes."""
        self.waiting += [envelope for envelope, _ in envelopes]


class World:
    """A vendor and what it holds, the relay's ledger, Calven; the webhooks that are on their way."""

    def __init__(self, *, own: bool) -> None:
        self.clock, self.queue, self.calven = Clock(), Queue(), Held()
        self.table = Memory()
        self.own = own
        self.truth: dict[str, LeaveChange] = {}
        self.webhooks: list[LeaveChange] = []
        self.meanwhile: list[Any] = []
        self.hidden: set[str] = set()
        self.settled: list[tuple[LeaveChange, float]] = []
        self.source = Source(vendor="deel")

    def change(self, leave_id: str, state: str, who: int, day: int, length: int) -> None:
        """Something happens in the HR system; its webhook is on its way."""
        self.clock.advance(1)
        start = FIRST + timedelta(days=day)
        now = self.clock()
        said = LeaveChange(
            event_id=f"{leave_id}-{now}",
            leave_id=leave_id,
            state="approved" if state == "approved" else "ended",
            version=iso(now),
            email=WHO[who],
            start=start.isoformat(),
            end=(start + timedelta(days=length)).isoformat(),
        )
        if state == "deleted":
            self.truth.pop(leave_id, None)
        else:
            self.truth[leave_id] = said
        self.webhooks.append(said)

    def deliver(self, number: int, how: How) -> None:
        """One of the webhooks arrives, or never does."""
        if self.webhooks:
            said = self.webhooks.pop(number % len(self.webhooks))
            self.clock.advance(1)
            if how == "at once":
                self.settle(said, self.clock())
            if how == "waits":
                self.queue.retry_later([(self.envelope(said), 0.0)])

    def envelope(self, said: LeaveChange) -> Envelope:
        """A webhook that is received now, as it waits."""
        at = datetime.fromtimestamp(self.clock(), UTC)
        return Envelope(source="deel", vendor="deel", kind="time_off", received_at=at, event=said)

    def settle(self, change: LeaveChange, received_at: float) -> None:
        """Record a change, and send what it comes to."""
        self.clock.advance(1)
        leaves = Leaves(self.table, self.clock)
        deadline = Deadline(float("inf"), self.clock)
        self.settled.append((change, received_at))
        try:
            arrival = as_arrival(change, "deel", self.source, self.clock(), 1)
            recorded = leaves.record(arrival, received_at, 60, deadline)
        except InvalidLeave:
            return
        for submission in recorded.submissions:
            current = submission
            while current is not None:
                for time_off in current.sending.values():
                    email = time_off.email or current.employee.email
                    self.calven.take(email, time_off.start, time_off.end, away=time_off.type is not None)
                results = dict.fromkeys(current.sending, True)
                current = cast("Any", leaves.finish(current, results, deadline, uncertain=False))

    def work(self) -> None:
        """The retry function takes what waits."""
        while self.queue.waiting:
            envelope = self.queue.waiting.pop(0)
            assert isinstance(envelope.event, LeaveChange)
            self.settle(envelope.event, envelope.received_at.timestamp())

    def redrive(self, number: int | None = None) -> None:
        """All that ever came is redriven, or one of it."""
        came = self.settled[:]
        for change, received_at in came if number is None else came[number : number + 1]:
            self.settle(change, received_at)

    def page(self, api: VendorApi, window: Window, following: str | None) -> Page:
        """One leave on each page; between pages other things may happen."""
        if self.meanwhile:
            self.meanwhile.pop(0)()
        entries = sorted(self.truth.values(), key=lambda said: said.leave_id)
        if not self.own:
            entries = [said.model_copy(update={"version": iso(window.began)}) for said in entries]
        listed = [said for said in entries if said.leave_id not in self.hidden]
        number = int(following or 0)
        more = number + 1 < len(listed)
        return Page(listed[number : number + 1], str(number + 1) if more else None)

    def reconcile(self) -> Report:
        """Reconcile the source, as somebody does by hand."""
        self.clock.advance(LEASE_SECONDS + 1)
        lists = LeaveList(page=self.page, version="own" if self.own else "asked", lacks="ended")
        vendor = replace(vendors.load("deel"), api=Api(host="https://deel.example.com", fields=()))
        return LeaveReconciliation(cast("Invocation", Desk(self)), "deel", vendor, lists, WISHES).run()


class Desk:
    """An invocation as a reconciliation uses it."""

    def __init__(self, world: World) -> None:
        self.table, self.queues, self.now = world.table, world.queue, world.clock
        self.config = Config(
            sources={"deel": world.source},
            places={"site": Place(locationId="id", locationType="location")},
        )
        self.configuration = self
        self.order = 1
        self.deadline = Deadline(float("inf"), world.clock)
        self.telemetry = self
        self.request_id = "run"
        self.secrets = self
        self.vendor_apis = cast("Any", self)
        self.http = self.tokens = self.rotating = self.memory = None
        self.clock = world.clock
        self.api: dict[str, str] = {}

    def utc_now(self) -> datetime:
        """The time."""
        return datetime.fromtimestamp(self.now(), UTC)

    def source(self, _family: str, _name: str) -> "Desk":
        """The source's secret."""
        return self


HOWS = st.sampled_from(get_args(How))
CHANGES = st.tuples(
    st.sampled_from(IDS),
    st.sampled_from(["approved", "approved", "cancelled", "deleted"]),
    st.integers(0, 1),
    st.integers(0, 6),
    st.integers(0, 3),
)
STEPS = st.one_of(
    CHANGES,
    st.tuples(st.just("deliver"), st.integers(0, 9), HOWS),
    st.tuples(st.just("redrive"), st.integers(0, 9)),
    st.just("work"),
    st.just("reconcile"),
    st.just("reconcile and die"),
    st.tuples(st.just("reconcile while"), st.lists(CHANGES, min_size=1, max_size=2), HOWS),
    st.just("list breaks off"),
    st.tuples(st.just("hide"), st.sampled_from(IDS)),
)


LOST_DELETION = (
    ("a", "approved", 0, 0, 0),
    ("deliver", 0, "at once"),
    ("a", "deleted", 0, 0, 0),
    ("deliver", 0, "lost"),
)


def act(world: World, step: Any) -> None:
    """Take one step of a history."""
    match step:
        case "work":
            world.work()
        case "reconcile":
            world.reconcile()
        case "reconcile and die":
            with suppress(Killed):
                reconcile_while(world, die)
        case "list breaks off":
            reconcile_while(world, break_off)
        case ("hide", leave_id):
            # A list that is wrong for a while.
            world.hidden ^= {leave_id}
        case ("deliver", number, how):
            world.deliver(number, how)
        case ("redrive", number):
            world.redrive(number)
        case ("reconcile while", changes, how):
            reconcile_while(world, partial(go_on, world, changes, how))
        case _:
            world.change(*step)


def reconcile_while(world: World, happen: Callable[[], None]) -> None:
    """Reconcile, and have something happen before the second page."""
    world.meanwhile = [lambda: None, happen]
    try:
        world.reconcile()
    finally:
        world.meanwhile = []


def go_on(world: World, changes: Sequence[Any], how: How) -> None:
    """The HR system does not wait until it is read."""
    for change in changes:
        world.change(*change)
    world.deliver(0, how)


def die() -> None:
    """The process is killed."""
    raise Killed


def break_off() -> None:
    """The vendor's API goes away."""
    raise VendorUnavailable("gone", retry_after=10_000)


@many(60)
@given(st.booleans(), st.lists(STEPS, max_size=14))
@example(own=True, steps=[*LOST_DELETION])
@example(own=True, steps=[*LOST_DELETION, "reconcile", ("redrive", 0), "work"])
def test_any_history(own: bool, steps: Sequence[Any]) -> None:
    """After a reconciliation Calven holds what is approved, and was told nothing that it need not be.

    Not even a redrive of all that ever came changes that.
    """
    world = World(own=own)
    # Before that, leave that ends unseen may be older than the relay, and is given back.
    world.reconcile()
    for step in steps:
        act(world, step)
    world.work()
    world.hidden.clear()
    while world.webhooks:
        world.deliver(0, "lost" if len(world.webhooks) % 2 == 0 else "at once")
    for _ in range(2):
        assert world.reconcile().status == "complete"
        world.work()
    approved = {
        (said.email or "", day)
        for said in world.truth.values()
        if said.state == "approved"
        for day in span(date.fromisoformat(said.start or ""), date.fromisoformat(said.end or ""))
    }
    assert world.calven.days == approved
    again = world.reconcile()
    assert (again.queued, again.differences) == (0, [])
    world.redrive()
    assert world.calven.days == approved
    assert world.calven.faults == []
