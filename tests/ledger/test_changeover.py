"""Configuration that changes while people are inside: who is where, and what Calven shows in the end."""

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config.model import Config, Door, Tree
from relay.deadline import Deadline
from relay.events import BadgeEvent, Direction
from relay.occupancy.changeover import Changeover, lineage
from relay.occupancy.closing import Closing
from relay.occupancy.days import operating_day
from relay.occupancy.ledger import Headcount
from relay.occupancy.relocation import Relocation
from relay.occupancy.reported import Reports
from relay.occupancy.rules import REPORT_AFTER_MS, Fact, through
from relay.occupancy.sensors import Readings
from tests.memory import Memory
from tests.moto_table import Crash, many
from tests.rig import Clock

pytestmark = [pytest.mark.no_cover, pytest.mark.slow]
"""They visit the same lines thousands of times, which other tests measure."""

ZONES = ("UTC", "Australia/Sydney", "America/New_York", "Pacific/Apia", "Asia/Kathmandu")
RESETS = ("00:00", "04:00", "10:30", "23:59")
PEOPLE = ("ann", "ben", "cat", "dan")
DAY = 24 * 3600


@dataclass
class Spot:
    """A place of the model: what it is called, which id it has, and within which other it is."""

    name: str
    location: str
    within: "Spot | None" = None
    gone: bool = False

    @property
    def site(self) -> "Spot":
        """The outermost place around it."""
        return self.within.site if self.within else self

    def around(self) -> Iterable["Spot"]:
        """It and every place around it."""
        spot: Spot | None = self
        while spot:
            yield spot
            spot = spot.within


Order = tuple[int, str]
Entry = tuple[Spot | None, Order]
"""Where somebody is at a site (None: outside), and by which badge."""
ELSEWHERE = Spot("elsewhere", "elsewhere")
"""Where somebody is who is counted at another site: here only the last badge is known."""


@dataclass(frozen=True)
class Passage:
    """A badge at a place's door, when it was first received (Unix seconds), and after which night."""

    event: BadgeEvent
    spot: Spot
    direction: Direction
    received: float
    night: int

    @property
    def early(self) -> bool:
        """Whether its clock was ahead."""
        return self.event.at.timestamp() > self.received

    @property
    def order(self) -> Order:
        """By when it counts."""
        at = min(self.event.at.timestamp(), self.received)
        return int(at * 1000), f"kisi|{self.event.event_id}"


def died() -> None:
    """The process ends here."""
    raise Crash


@dataclass
class Truth:
    """The model: places as things that keep their identity, and where everybody is at each site."""

    spots: list[Spot] = field(default_factory=list)
    people: dict[str, dict[int, Entry]] = field(default_factory=dict)
    known: set[Order] = field(default_factory=set)
    nights: int = 0

    def badge(self, passage: "Passage") -> None:
        """Somebody passes a door. What is of a day before changes nothing any more."""
        if passage.order in self.known or passage.night != self.nights:
            return
        if passage.early:
            self.known.add(passage.order)
        entries = self.people.setdefault(passage.event.person or "", {})
        site = id(passage.spot.site)
        _, last = entries.get(site, (None, (0, "")))
        if passage.order > last:
            inside = passage.direction == "in"
            entries[site] = (passage.spot if inside else passage.spot.within, passage.order)

    def rearranged(self, sites: dict[int, Spot], before: dict[int, list[Spot]]) -> None:
        """The tree has changed: everybody is in the nearest place that is left, at the site that it is of.

        `before` is what was around each place in the tree that was in force. A site that is still one knows
        everybody's last badge.
        """
        for person, entries in self.people.items():
            after: dict[int, Entry] = {}
            # Those who are inside come first: of equal orders they are the position that is meant.
            for site, (spot, order) in sorted(entries.items(), key=lambda e: e[1][0] is None):
                if spot is ELSEWHERE:
                    continue
                left = next((o for o in before[id(spot)] if not o.gone), None) if spot else None
                root = left or sites[site]
                if root.gone:
                    continue
                if id(root.site) not in after or after[id(root.site)][1] < order:
                    after[id(root.site)] = (left, order)
            for site, (_, order) in entries.items():
                if sites[site].site is sites[site] and not sites[site].gone:
                    after.setdefault(site, (ELSEWHERE, order))
            self.people[person] = after

    def counts(self) -> Counter[str]:
        """How many people each place has, by its id."""
        return Counter(
            outer.location
            for entries in self.people.values()
            for spot, _ in entries.values()
            if spot and spot is not ELSEWHERE
            for outer in spot.around()
        )


class World:
    """A ledger, Calven and the truth, with one configuration after the other in force."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.table = Memory()
        self.calven: dict[str, tuple[int, int]] = {}
        self.truth = Truth()
        site, other = Spot("a", "A"), Spot("b", "B")
        low, high = Spot("a1", "A1", site), Spot("a2", "A2", site)
        self.truth.spots = [site, other, low, high, Spot("a11", "A11", low), Spot("b1", "B1", other)]
        self.clocks = {id(spot): ("UTC", "04:00") for spot in self.truth.spots}
        self.config = Config(places=self._tree().places)
        self.everything = list(self.truth.spots)
        self.before = {id(spot): list(spot.around()) for spot in self.everything}
        self.numbers = iter(range(1, 10_000))
        self.passages: list[Passage] = []
        self.letters: list[Passage] = []

    def _tree(self) -> Tree:
        places = {}
        for spot in self.truth.spots:
            zone, reset = self.clocks[id(spot)]
            outer = {"within": spot.within.name} if spot.within else {"timezone": zone, "resetAt": reset}
            places[spot.name] = {"locationId": spot.location, "locationType": "zone", **outer}
        return Tree.model_validate({"places": places})

    def event(self, person: str, number: int, direction: Direction, ahead: int = 0) -> "Passage":
        """Somebody passes a door now, by a clock that is so many seconds ahead."""
        self.clock.advance(1)
        spot = self.truth.spots[number % len(self.truth.spots)]
        at = datetime.fromtimestamp(self.clock() + ahead, UTC)
        event = BadgeEvent(event_id=f"e{next(self.numbers):05}", at=at, door="door", person=person)
        return Passage(event, spot, direction, self.clock(), self.truth.nights)

    def deliver(self, passage: "Passage", crash: int | None = None, other: "Passage | None" = None) -> None:
        """The relay gets a badge. It may end at a request, and gets the badge once more; others go on."""
        if passage.spot not in self.truth.spots:
            return
        if other is not None:
            self.table.interrupt(crash or 0, lambda: self.settle(other, self.config))
        elif crash is not None:
            self.table.interrupt(crash, died)
        with suppress(Crash):
            self.settle(passage, self.config)
        self.table.happen = lambda: None
        self.settle(passage, self.config)
        for one in (other, passage) if other else (passage,):
            self.settle(one, self.config)
            self.truth.badge(one)
        if crash is not None:
            # What the process had written and not told, and no badge is on the way of, the schedule tells.
            self.clock.advance(REPORT_AFTER_MS / 1000 + 1)
            self.schedule()

    def settle(self, passage: "Passage", config: Config) -> None:
        """The relay settles a badge, and tells Calven."""
        name = config.name_of(passage.spot.location)
        assert name
        door = Door(place=name, direction=passage.direction)
        badge = through(passage.event, door, "kisi", passage.received, config)
        day = operating_day(config, config.around(badge.place)[-1], badge.at)
        deadline = Deadline(self.clock() + 100, self.clock)
        for settled in Headcount(self.table, self.clock).settle([badge], day, config, deadline):
            self.tell(settled.facts)

    def tell(self, facts: Iterable[Fact]) -> None:
        """Calven takes these facts."""
        for fact in facts:
            payload = fact.payload(self.config)
            location, people = str(payload["locationId"]), int(str(payload["occupancy"]))
            if fact.at >= self.calven.get(location, (0, 0))[0]:
                self.calven[location] = (fact.at, people)
        Reports(self.table).mark_reported(list(facts))

    def push(self, crashes: list[int], meanwhile: list[tuple[str, int, Direction]]) -> None:
        """The tree as it is now comes into force; people are moved, however often that breaks off."""
        self.clock.advance(1)
        at = int(self.clock() * 1000)
        sites = {id(spot): spot for spot in self.everything}
        old, tree = self.config, self._tree()
        kept = lineage(old, tree, 1, at)
        self.config = Config(places=tree.places, lineage=kept)
        old = old.model_copy(update={"lineage": kept})
        change = Changeover(old, self.config, at)
        self.truth.rearranged(sites, self.before)
        self.before = {id(spot): list(spot.around()) for spot in self.truth.spots}
        for requests in crashes:
            self.table.interrupt(requests, died)
            with suppress(Crash):
                self._apply(change)
            self.table.happen = lambda: None
        self._apply(change)
        for person, number, direction in meanwhile:
            self.late(person, number, direction, old)
        self.clock.advance(100)
        self._apply(change)

    def late(self, person: str, number: int, direction: Direction, old: Config) -> None:
        """A function that has not taken the push up settles a badge; the truth is what it is now."""
        spots = [s for s in self.truth.spots if old.name_of(s.location) and self.config.name_of(s.location)]
        same = [s for s in spots if old.around(s.location) == self.config.around(s.location)]
        if same:
            passage = replace(self.event(person, 0, direction), spot=same[number % len(same)])
            self.settle(passage, old)
            self.truth.badge(passage)

    def _apply(self, change: Changeover) -> None:
        relocation = Relocation(
            self.table, Headcount(self.table, self.clock), Readings(self.table, self.clock), self.clock
        )
        facts = [fact for _, fact in relocation.apply(change, Deadline(self.clock() + 100, self.clock))]
        self.tell(facts)

    def night(self) -> None:
        """Two days pass, and the schedule closes every site's day."""
        self.clock.advance(2 * DAY)
        self.schedule()
        # What came ahead of its time is known for 16 days, whichever day it is.
        self.passages = [one for one in self.passages if one.early]
        self.truth.people = {}
        self.truth.nights += 1

    def schedule(self) -> None:
        """The schedule closes days that are over, and tells what is left."""
        for site in self.config.site_ids:
            deadline = Deadline(self.clock() + 100, self.clock)
            closing = Closing(self.table, Headcount(self.table, self.clock), self.clock)
            self.tell([fact for _, fact in closing.close_days(site, self.config, deadline)])

    def shown(self) -> Counter[str]:
        """What Calven shows of each place that has anybody."""
        return +Counter({location: people for location, (_, people) in self.calven.items()})


def renamed(world: World, spot: Spot, number: int) -> None:
    """A place gets another name. With another name and another id in one push it would be another place."""
    if world.config.name_of(spot.location):
        spot.name = f"{spot.name[0]}-{next(world.numbers)}"


def corrected(world: World, spot: Spot, number: int) -> None:
    """A place gets another id. What the old one shows is nobody's any more."""
    if spot.name in world.config.places:
        world.calven.pop(spot.location, None)
        spot.location = f"{spot.name}:{next(world.numbers)}"


def moved(world: World, spot: Spot, number: int) -> None:
    """A place is put within another one, or becomes a site."""
    others: list[Spot | None] = [s for s in world.truth.spots if spot not in s.around()]
    spot.within = [*others, None][number % (len(others) + 1)]


def removed(world: World, spot: Spot, number: int) -> None:
    """A place is taken away; what was within it is within what was around it."""
    if len(world.truth.spots) < 3:
        return
    spot.gone = True
    world.truth.spots.remove(spot)
    for inner in world.truth.spots:
        if inner.within is spot:
            inner.within = spot.within


def other_clock(world: World, spot: Spot, number: int) -> None:
    """A place gets another time zone and reset hour, which count if it is a site."""
    world.clocks[id(spot)] = ZONES[number % len(ZONES)], RESETS[number % len(RESETS)]


CHANGES: tuple[Callable[[World, Spot, int], None], ...] = (renamed, corrected, moved, removed, other_clock)
DIRECTIONS: st.SearchStrategy[Direction] = st.sampled_from(("in", "in", "out"))
PASSAGES = st.tuples(
    st.sampled_from(PEOPLE), st.integers(0, 9), DIRECTIONS, st.sampled_from((0, 0, 0, 5, 3600, 2 * DAY))
)
CHANGED = st.tuples(st.sampled_from(CHANGES), st.integers(0, 9), st.integers(0, 40))
STEPS = st.one_of(
    st.tuples(st.just("badge"), PASSAGES, st.none() | st.integers(0, 6), st.none()),
    st.tuples(st.just("badge"), PASSAGES, st.integers(0, 4), PASSAGES),
    st.tuples(st.just("badge"), PASSAGES, st.none(), st.none()),
    st.tuples(
        st.just("push"),
        st.lists(CHANGED, min_size=1, max_size=3),
        st.lists(st.integers(0, 12), max_size=2),
        st.lists(st.tuples(st.sampled_from(PEOPLE), st.integers(0, 9), DIRECTIONS), max_size=2),
    ),
    st.tuples(st.just("again"), st.integers(0, 99)),
    st.tuples(st.just("letter"), PASSAGES),
    st.tuples(st.just("redrive"), st.integers(0, 99)),
    st.tuples(st.just("night")),
)


def play(world: World, step: tuple[Any, ...]) -> None:
    """One step."""
    match step:
        case "badge", passage, crash, other:
            world.passages.append(world.event(*passage))
            beside = world.event(*other) if other else None
            world.deliver(world.passages[-1], crash, beside)
        case "again", number if world.passages:
            one = world.passages[number % len(world.passages)]
            world.clock.advance(1)
            if one.spot in world.truth.spots:
                # The vendor sends it anew: it is received now.
                world.settle(replace(one, received=world.clock()), world.config)
                world.truth.badge(one)
        case "letter", passage:
            world.letters.append(world.event(*passage))
        case "redrive", number if world.letters:
            world.deliver(world.letters.pop(number % len(world.letters)))
            world.schedule()
        case "push", changes, crashes, meanwhile:
            for change, number, other in changes:
                change(world, world.truth.spots[number % len(world.truth.spots)], other)
            world.push(crashes, meanwhile)
        case "night", *_:
            world.night()


@many(150)
@given(st.lists(STEPS, max_size=14))
def test_any_history(steps: list[tuple[Any, ...]]) -> None:
    """Whatever becomes of the configuration while people come and go, Calven shows where they are."""
    world = World()
    for step in steps:
        play(world, step)
        assert world.shown() == world.truth.counts(), step
    world.night()
    assert world.shown() == Counter()
