"""Any history of badges, any webhooks lost or late, reconciled at any time: Calven shows where people are."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import vendors
from relay.config.model import Config, Door, Source
from relay.deadline import Deadline
from relay.events import BadgeEvent, Direction
from relay.invocation import Invocation
from relay.occupancy.closing import Closing
from relay.occupancy.days import Day, operating_day
from relay.occupancy.ledger import Headcount
from relay.occupancy.reported import Reports
from relay.occupancy.rules import REPORT_AFTER_MS, Fact, anonymous, through
from relay.reconciliation.events import OVERLAP_MS, EventReconciliation
from relay.reconciliation.report import Report
from relay.reconciliation.runs import LEASE_SECONDS
from relay.reconciliation.wishes import Wishes
from relay.vendors.support.base import Api, VendorApi
from relay.vendors.support.listing import EventList, Page, Span
from tests.ledger.test_reconciliation_orders import Desk, Killed, Queue, die
from tests.memory import Memory
from tests.moto_table import many
from tests.rig import Clock

pytestmark = [pytest.mark.no_cover, pytest.mark.slow]

WITHIN = {"hq": None, "l1": "hq", "l2": "hq", "l1-a": "l1"}
PEOPLE = ("ann@example.com", "ben@example.com", "cat")
KEY = b"person-key"
NIGHT = 24 * 3600


@dataclass(frozen=True)
class Passed:
    """A badge of somebody, and the place where they are since."""

    event: BadgeEvent
    place: str | None

    @property
    def order(self) -> tuple[int, str]:
        """What decides which of two badges of a person came last."""
        return int(self.event.at.timestamp() * 1000), f"kisi|{self.event.event_id}"


def path(place: str | None) -> Iterable[str]:
    """A place, and every place around it."""
    while place is not None:
        yield place
        place = WITHIN[place]


def way(place: str, direction: Direction) -> Door:
    """A door in to or out of a place."""
    return Door(place=place, direction=direction)


DOORS = {f"{direction} {place}": way(place, direction) for place in WITHIN for direction in ("in", "out")}


class World:
    """People who pass doors, the vendor that lists it, the relay's ledger, Calven, and what is on its way."""

    def __init__(self) -> None:
        self.clock, self.queue, self.table = Clock(), Queue(), Memory()
        self.source = Source(vendor="kisi")
        clock = {"timezone": "UTC", "resetAt": "16:00"}
        places = {
            place: {"locationId": place, "locationType": "zone", **({"within": outer} if outer else clock)}
            for place, outer in WITHIN.items()
        }
        self.config = Config.model_validate({"sources": {"kisi": self.source}, "places": places})
        self.listed: list[Passed] = []
        self.webhooks: list[BadgeEvent] = []
        self.calven: dict[str, tuple[int, int]] = {}
        self.told = 0
        self.meanwhile: list[Callable[[], None]] = []
        self.lag = 0.0

    @property
    def deadline(self) -> Deadline:
        """Time enough."""
        return Deadline(self.clock() + 100, self.clock)

    def day(self) -> Day:
        """The operating day."""
        return operating_day(self.config, "hq", round(self.clock() * 1000))

    def pass_door(self, person: int, place: str, direction: Direction) -> None:
        """Somebody passes a door; its webhook is on its way."""
        self.clock.advance(1)
        at = datetime.fromtimestamp(self.clock(), UTC)
        event_id = f"e{len(self.listed):03}"
        event = BadgeEvent(event_id=event_id, at=at, door=f"{direction} {place}", person=PEOPLE[person])
        self.listed.append(Passed(event, place if direction == "in" else WITHIN[place]))
        self.webhooks.append(event)

    def deliver(self, number: int, *, lost: bool, dies_after: int | None = None) -> None:
        """One of the webhooks arrives, or never does; if the process dies over it, it is sent once more."""
        if not self.webhooks:
            return
        event = anonymous(self.webhooks.pop(number % len(self.webhooks)), "kisi", KEY)
        if lost:
            return
        if dies_after is not None:
            with suppress(Killed), self.dying(dies_after):
                self.settle(event)
        self.settle(event)

    def work(self, dies_after: int | None = None) -> None:
        """The retry function takes what waits; a message over which it dies comes again."""
        if dies_after is not None and self.queue.waiting:
            with suppress(Killed), self.dying(dies_after):
                self.settle(cast("BadgeEvent", self.queue.waiting[0].event))
        while self.queue.waiting:
            self.settle(cast("BadgeEvent", self.queue.waiting.pop(0).event))

    def dying(self, after: int) -> "Dying":
        """Have the process die at a request to the table."""
        return Dying(self.table, after)

    def settle(self, event: BadgeEvent) -> None:
        """Count a badge whose person is a hash, and tell Calven."""
        self.clock.advance(0.01)
        badge = through(event, DOORS[event.door], "kisi", self.clock(), self.config)
        day = operating_day(self.config, "hq", badge.at)
        headcount = Headcount(self.table, self.clock)
        for settled in headcount.settle([badge], day, self.config, self.deadline):
            self.tell(settled.facts)

    def tell(self, facts: Sequence[Fact]) -> None:
        """Calven takes these facts."""
        for fact in facts:
            payload = fact.payload(self.config)
            location, people = str(payload["locationId"]), int(str(payload["occupancy"]))
            if fact.at >= self.calven.get(location, (0, 0))[0]:
                self.calven[location] = (fact.at, people)
        self.told += len(facts)
        Reports(self.table).mark_reported(list(facts))

    def schedule(self) -> None:
        """The schedule closes days, and tells what a process that died has not."""
        self.clock.advance(REPORT_AFTER_MS / 1000 + 1)
        closing = Closing(self.table, Headcount(self.table, self.clock), self.clock)
        closed = closing.close_days("hq", self.config, self.deadline)
        self.tell([fact for _, fact in closed])

    def page(self, api: VendorApi, span: Span, following: str | None) -> Page:
        """Two events on each page, some only after a while; before a page other things may happen."""
        del api
        if self.meanwhile:
            self.meanwhile.pop(0)()
        until = min(span.until, self.clock() - self.lag)
        found = [one.event for one in self.listed if span.since <= one.event.at.timestamp() <= until]
        number = int(following or 0)
        return Page(found[number : number + 2], str(number + 2) if number + 2 < len(found) else None)

    def reconcile(self, lag: float = 0) -> Report:
        """Reconcile the source, as somebody does by hand. The vendor lists events so many seconds late."""
        self.lag = lag
        self.clock.advance(LEASE_SECONDS + 1)
        vendor = replace(vendors.load("kisi"), api=Api(host="https://kisi.example.com", fields=()))
        desk = cast("Invocation", Gate(self))
        return EventReconciliation(
            desk, "kisi", vendor, EventList(page=self.page), Wishes(by_hand=True)
        ).run()

    def reconcile_while(self, page: int, happen: Callable[[], None]) -> None:
        """Reconcile, and have something happen before a page."""
        self.meanwhile = [lambda: None] * page + [happen]
        try:
            self.reconcile()
        finally:
            self.meanwhile = []

    def inside(self) -> Counter[str]:
        """The truth: how many people are in each place today."""
        last: dict[str, Passed] = {}
        for one in sorted(self.listed, key=lambda passed: passed.order):
            if one.order[0] >= self.day().start:
                last[str(one.event.person)] = one
        return Counter(place for one in last.values() for place in path(one.place))

    def shown(self) -> Counter[str]:
        """What Calven shows of each place that has anybody."""
        return +Counter({location: people for location, (_, people) in self.calven.items()})


class Dying:
    """The process dies at a request to the table, after so many."""

    def __init__(self, table: Memory, after: int) -> None:
        self._table, self._left = table, after

    def __enter__(self) -> None:
        self._table.happen = self._happen

    def __exit__(self, *_: object) -> None:
        self._table.happen = lambda: None

    def _happen(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Killed


class Gate(Desk):
    """An invocation as a reconciliation of doors uses it."""

    def __init__(self, world: World) -> None:
        super().__init__(cast("Any", world))
        self.config = world.config
        self.readings = self

    def door(self, _source: str, door: str) -> Door | None:
        """The door, as configured."""
        return DOORS.get(door)

    def person_key(self) -> bytes:
        """The key of the hashes."""
        return KEY

    def of_places(self, _places: Sequence[str], *, shadow: bool) -> dict[str, Any]:
        """Nothing is known of sensors."""
        assert not shadow
        return {}


DIRECTIONS: st.SearchStrategy[Direction] = st.sampled_from(("in", "in", "out"))
PASSAGES = st.tuples(st.integers(0, len(PEOPLE) - 1), st.sampled_from(sorted(WITHIN)), DIRECTIONS)
REQUESTS = st.none() | st.integers(0, 9)
STEPS = st.one_of(
    st.tuples(st.just("pass"), PASSAGES),
    st.tuples(st.just("pass"), PASSAGES),
    st.tuples(st.just("deliver"), st.integers(0, 9), st.booleans(), REQUESTS),
    st.tuples(st.just("work"), REQUESTS),
    st.tuples(st.just("reconcile"), st.sampled_from((0, 600, OVERLAP_MS / 1000))),
    st.tuples(st.just("die at page"), st.integers(0, 2)),
    st.tuples(st.just("die at request"), st.integers(0, 20)),
    st.tuples(st.just("reconcile while"), st.integers(0, 2), PASSAGES, st.booleans()),
    st.just("night"),
)


def act(world: World, step: Any) -> None:
    """Take one step of a history."""
    match step:
        case "pass", passage:
            world.pass_door(*passage)
        case "deliver", number, lost, dies_after:
            world.deliver(number, lost=lost, dies_after=dies_after)
        case "work", dies_after:
            world.work(dies_after)
        case "reconcile", lag:
            world.reconcile(lag)
        case "die at page", page:
            with suppress(Killed):
                world.reconcile_while(page, die)
        case "die at request", requests:
            with suppress(Killed), world.dying(requests):
                world.reconcile()
        case "reconcile while", page, passage, delivered:
            world.reconcile_while(page, lambda: go_on(world, passage, delivered=delivered))
        case "night":
            world.clock.advance(NIGHT)
            world.schedule()


def go_on(world: World, passage: Any, *, delivered: bool) -> None:
    """People do not wait until the list is read."""
    world.pass_door(*passage)
    if delivered:
        world.deliver(len(world.webhooks) - 1, lost=False)


@many(50)
@given(st.lists(STEPS, max_size=16))
def test_any_history(steps: Sequence[Any]) -> None:
    """After a reconciliation Calven shows where people are today; a second one sends nothing."""
    world = World()
    for step in steps:
        act(world, step)
    while world.webhooks:
        world.deliver(0, lost=len(world.webhooks) % 2 == 0)
    assert world.reconcile().status == "complete"
    world.work()
    world.schedule()
    assert world.shown() == world.inside()
    told = world.told
    again = world.reconcile()
    world.work()
    world.schedule()
    assert (again.status, again.found, again.queued) == ("complete", 0, 0)
    assert world.told == told
