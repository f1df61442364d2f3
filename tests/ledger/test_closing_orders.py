"""Random histories of a day that is over: what comes late, breaks off or waits, and all of it is told."""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.config.model import Config, Door
from relay.deadline import Deadline
from relay.events import BadgeEvent
from relay.occupancy.changeover import Changeover, lineage
from relay.occupancy.closed import closed_key
from relay.occupancy.closing import DONE_AFTER_MS, Closing
from relay.occupancy.days import operating_day
from relay.occupancy.ledger import Headcount
from relay.occupancy.relocation import Relocation
from relay.occupancy.reported import Reports
from relay.occupancy.rules import Fact, through
from relay.occupancy.sensors import Readings
from relay.occupancy.unsent import Unsent
from tests.building import CONFIG, NOON_MS, PLACES
from tests.memory import Memory
from tests.moto_table import Crash, many
from tests.rig import Clock

pytestmark = [pytest.mark.no_cover, pytest.mark.slow]
"""They visit the same lines thousands of times, which other tests measure."""

DAY = operating_day(CONFIG, "hq", NOON_MS)
RUNS_APART = 900.0
DAY_SECONDS = 24 * 3600
MOVED = Config.model_validate(
    {
        "places": {
            name: {**place.model_dump(by_alias=True), **({"within": "l1"} if name == "l2-a" else {})}
            for name, place in CONFIG.places.items()
            if name != "l1-b"
        }
    }
)
"""The building without one place, and with another one elsewhere."""


class World:
    """The ledger after a day's end, what waits in a queue, and what Calven was told of the day."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.table = Memory()
        self.config = CONFIG
        self.numbers = iter(range(10_000))
        self.waiting: list[tuple[Fact, ...]] = []
        self.told: list[Fact] = []
        for person, place in (("ann", "l1-a"), ("ben", "l1-b"), ("cat", "l2-a")):
            self.badge("accepted", person, "in", place)
        self.clock.now = DAY.end / 1000 + 120

    def badge(self, sent: str, person: str, direction: Any, place: str, days_later: int = 0) -> None:
        """Somebody passed a door on that day, or so many days later; the badge comes now."""
        if place not in self.config.places:
            return
        number = next(self.numbers)
        at = datetime.fromtimestamp(NOON_MS / 1000 + number, UTC) + timedelta(days=days_later)
        event = BadgeEvent(event_id=f"e{number:04}", at=at, door="door", person=person)
        late = through(event, Door(place=place, direction=direction), "kisi", at.timestamp(), self.config)
        headcount = Headcount(self.table, self.clock)
        day = operating_day(self.config, "hq", late.at)
        for settled in headcount.settle([late], day, self.config, self._deadline):
            self._send(sent, settled.facts)

    def schedule(self, sent: str, *_: Any) -> list[Fact]:
        """A run of the schedule for each site; what it told."""
        facts: list[Fact] = []
        for site in self.config.site_ids:
            facts += [fact for _, fact in self._closing.close_days(site, self.config, self._deadline)]
        self._send(sent, facts)
        if sent == "queued":
            Reports(self.table).mark_queued(facts)
        return facts

    def push(self, sent: str, *_: Any) -> None:
        """A push of an hour before the day's end is carried out, or carried out once more."""
        at = DAY.end - 3_600_000
        kept = lineage(CONFIG, MOVED, 1, at)
        self.config = Config(places=MOVED.places, lineage=kept)
        change = Changeover(CONFIG.model_copy(update={"lineage": kept}), self.config, at)
        readings = Readings(self.table, self.clock)
        relocation = Relocation(self.table, Headcount(self.table, self.clock), readings, self.clock)
        self._send(sent, [fact for _, fact in relocation.apply(change, self._deadline)])

    def drain(self, *_: Any) -> None:
        """What waits longest is told."""
        if self.waiting:
            facts = self.waiting[0]
            self._send("accepted", facts)
            self._taken(facts)

    def shadow(self, *_: Any) -> None:
        """What waits longest is not sent, as its source is shadowed for a moment."""
        if self.waiting:
            facts = self.waiting[0]
            Unsent(self.table).mark(facts, self._deadline)
            self._taken(facts)

    def _taken(self, facts: tuple[Fact, ...]) -> None:
        """Out of the queue, unless somebody else has taken it meanwhile; it stays when the process ends."""
        if facts in self.waiting:
            self.waiting.remove(facts)

    def _send(self, sent: str, facts: Iterable[Fact]) -> None:
        """Calven takes these facts, a queue does, or the process ends before that."""
        facts = tuple(facts)
        if sent == "queued" and facts:
            self.waiting.append(facts)
        elif sent == "accepted":
            self.told += facts
            Reports(self.table).mark_reported(facts)

    @property
    def _deadline(self) -> Deadline:
        return Deadline(self.clock() + 100, self.clock)

    @property
    def _closing(self) -> Closing:
        return Closing(self.table, Headcount(self.table, self.clock), self.clock)

    def finish(self) -> None:
        """Runs of the schedule with nothing in between: then it does not look at the day any more."""
        for _ in range(3):
            self.schedule("accepted")
            self.clock.advance(DONE_AFTER_MS / 1000)
        assert self.table.items[closed_key(DAY.key)]["done"]

    def check(self) -> None:
        """Each count of the day is told as it is, and its zero is the last that Calven heard of it."""
        latest: dict[str, Fact] = {}
        for fact in self.told:
            if fact.day == DAY.key and fact.at >= latest.get(fact.location_id, fact).at:
                latest[fact.location_id] = fact
        versions = {(fact.location_id, fact.version) for fact in self.told if fact.day == DAY.key}
        for place, count in Headcount(self.table, self.clock).counts(DAY):
            if count.version and not count.moved:
                assert (place, count.version) in versions, f"{place} was never told as it is"
                assert latest[place].people == 0, f"{place} was not told empty"


def died() -> None:
    """The process ends here."""
    raise Crash


SENT = st.sampled_from(("accepted", "accepted", "queued", "lost"))
ACTS = st.one_of(
    st.tuples(
        st.just(World.badge),
        SENT,
        st.sampled_from(("ann", "ben", "cat", "dan")),
        st.sampled_from(("in", "out")),
        st.sampled_from(PLACES),
    ),
    st.tuples(st.sampled_from((World.schedule, World.schedule, World.schedule, World.push)), SENT),
    st.tuples(st.sampled_from((World.drain, World.shadow))),
)
INTERRUPTIONS = st.none() | st.tuples(st.integers(0, 24), st.none() | ACTS)
"""After so many requests the process ends, or something else happens at that moment."""
STEPS = st.tuples(ACTS, INTERRUPTIONS, st.sampled_from((0, 60, RUNS_APART, DONE_AFTER_MS / 1000)))


def play(world: World, act: tuple[Any, ...], interruption: tuple[int, Any] | None, wait: float) -> None:
    """One step, and some time after it."""
    if interruption:
        requests, other = interruption
        world.table.interrupt(requests, died if other is None else lambda: other[0](world, *other[1:]))
    with suppress(Crash):
        act[0](world, *act[1:])
    world.table.happen = lambda: None
    world.clock.advance(wait)


LATE = (World.badge, "accepted", "ann", "in", "l2")
LATE_AND_LOST = (World.badge, "lost", "dan", "in", "l1-a")


@example(True, [(LATE_AND_LOST, None, 0)])
@example(True, [((World.push, "lost"), None, 0)])
@example(True, [(LATE, None, 0), ((World.schedule, "accepted"), (6, LATE_AND_LOST), 0)])
@example(True, [((LATE[0], "queued", *LATE[2:]), None, RUNS_APART), ((World.shadow,), None, 0)])
@many(300)
@given(st.booleans(), st.lists(STEPS, max_size=10))
def test_any_history(is_done: bool, steps: list[tuple[Any, ...]]) -> None:
    """Whatever comes late, breaks off or waits in whatever order: everything is told, and the day is done."""
    world = World()
    if is_done:
        world.finish()
    for step in steps:
        play(world, *step)
    while world.waiting:
        world.drain()
    world.finish()
    assert world.schedule("accepted") == []
    world.check()


def test_next_day_that_is_done_is_read_for_a_late_badge() -> None:
    """Where the day after has reported a place, the zero after a late badge is no news, done or not."""
    world = World()
    world.finish()
    world.clock.advance(DAY_SECONDS)
    world.badge("accepted", "eve", "in", "l1", days_later=1)
    world.clock.advance(DAY_SECONDS)
    world.finish()
    world.badge("lost", "dan", "in", "l1-a")
    told = world.schedule("accepted")
    assert Counter(fact.location_id for fact in told) == {"l1-a": 2, "l1": 1, "hq": 1}
    assert {fact.location_id for fact in told if not fact.people} == {"l1-a"}
