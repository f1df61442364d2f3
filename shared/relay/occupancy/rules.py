"""Headcount per place from badge events: pure functions, no storage.

A badge says that a person passed a door; Calven wants how many people are in a place. So the ledger keeps a
`Position` for each person and a `Count` for each place, both of one operating day of one site, and `settle`
says what badges make of them. https://apidocs.calven.com describes the occupancy event.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import uuid5

from pydantic import BaseModel, ConfigDict

from relay.config.model import Config, Door, LocationType
from relay.events import NAMESPACE, BadgeEvent, iso_ms, milliseconds, same_person
from relay.occupancy.days import Day


class Fact(BaseModel):
    """One settled occupancy event: so many people in that place at that instant (Unix milliseconds).

    `location_id` is the place, `place` what it was called then. `version` is that of its count in the
    operating day with the key `day`; a sensor's reading is of no such day. `people` is None where a sensor
    says only whether there is anybody, which `occupied` then holds.
    """

    model_config = ConfigDict(frozen=True)

    event_id: str
    location_id: str
    location_type: LocationType
    place: str
    at: int
    people: int | None = None
    occupied: bool | None = None
    day: str | None = None
    version: int

    def payload(self, config: Config) -> dict[str, object]:
        """The event as `POST /v1/occupancy` takes it.

        Where its place is not configured any more, it goes to the one that has its name now, so that a
        corrected `locationId` heals it; where there is none, to the place as it was.
        """
        name = config.name_of(self.location_id) or self.place
        known = config.places.get(name)
        event: dict[str, object] = {
            "timestamp": iso_ms(self.at),
            "locationId": known.location_id if known else self.location_id,
            "locationType": known.location_type if known else self.location_type,
            "eventId": self.event_id,
            "occupied": bool(self.people) if self.occupied is None else self.occupied,
        }
        return event if self.people is None else {**event, "occupancy": self.people}


@dataclass(frozen=True, slots=True)
class Position:
    """Where a person is since the badge `event` at `at` (ms): the places, from the inside out; outside, none.

    They are the `locationId`s of those that were counted, whatever the configuration has become since. Who
    has `moved` is counted in the day of another site since.
    """

    path: tuple[str, ...] = ()
    at: int = 0
    event: str = ""
    moved: bool = False
    revision: int = 0

    def stale(self, badge: "Badge") -> str:
        """Why a badge moves this person no more, if it does not."""
        if badge.id == self.event:
            return "duplicate"
        return "superseded" if badge.order < (self.at, self.event) else ""


@dataclass(frozen=True, slots=True)
class Count:
    """How many people are in a place, and what Calven has been told about it.

    `version` counts what there was to tell, `reported` is the newest version that Calven has accepted or
    that is safe in a queue. `at`, `event_id` and `source` are the instant (ms), id and source of the last
    report within the day. A day that has `ended` is reported empty at its end, whatever `people` says; `late`
    marks a count that changed after that. `name` and `type` are what the place was when it was last counted.
    A count that has `moved` is told in the day of another site, to which its place belongs now.
    """

    people: int = 0
    version: int = 0
    reported: int = 0
    at: int = 0
    event_id: str = ""
    source: str = ""
    ended: bool = False
    late: bool = False
    name: str = ""
    type: LocationType = "place"
    moved: bool = False
    revision: int = 0

    def untold(self, place: str, day: Day, *, told_since: bool = False) -> list[Fact]:
        """What Calven is still to be told, the same each time until something changes.

        After the day's end that is its zero, behind the count that a late badge made. `told_since` says
        that the next day's counts have been told: then the zero of a late badge is no news any more.
        """
        if self.moved or self.reported >= self.version:
            return []
        told = [self.fact(place, day)]
        if not self.ended:
            return told
        reset = event_id(self.source, f"reset:{self.version}", place, day.end, 0)
        zero = [self._fact(place, day, reset, day.end, 0)]
        return told * self.late + zero * (not (self.late and told_since))

    def fact(self, place: str, day: Day) -> Fact:
        """The count as it was last to be told while its day lasted."""
        return self._fact(place, day, self.event_id, self.at, self.people)

    def _fact(self, place: str, day: Day, fact_id: str, at: int, people: int) -> Fact:
        return Fact(
            event_id=fact_id,
            location_id=place,
            location_type=self.type,
            place=self.name,
            at=at,
            people=people,
            day=day.key,
            version=self.version,
        )


@dataclass(frozen=True, slots=True)
class Badge:
    """A badge event with its door looked up: who (a keyed hash), when (ms), where to, by which source.

    `place` is that of the door and `target` where it leads to, by `locationId`; outside is None. `own` is the
    time that the vendor gives (ms): where that is ahead of the receipt, `at` is the receipt.
    """

    event_id: str
    source: str
    person: str
    at: int
    place: str
    target: str | None
    own: int

    @property
    def early(self) -> bool:
        """Whether it was received before its own time."""
        return self.own > self.at

    @property
    def id(self) -> str:
        """What tells it from the badges of every source."""
        return f"{self.source}|{self.event_id}"

    @property
    def order(self) -> tuple[int, str]:
        """By when it happened, and at the same time in an order that is the same everywhere."""
        return self.at, self.id


def anonymous(badge: BadgeEvent, source: str, key: bytes) -> BadgeEvent:
    """The badge with its person as a keyed hash: of the e-mail address, else of source and vendor's id."""
    person = badge.person or ""
    identity = same_person(person) if "@" in person else f"{source}|{person.strip()}"
    digest = hmac.new(key, identity.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
    return badge.model_copy(update={"person": digest[:32]})


def through(badge: BadgeEvent, door: Door, source: str, received_at: float, config: Config) -> Badge:
    """The badge at that door. A time later than the receipt counts as the receipt."""
    direction = badge.direction or door.direction
    at, received = milliseconds(badge.at), round(received_at * 1000)
    outwards = (*config.around(config.places[door.place].location_id), None)
    place, target = outwards[0] or "", outwards[0 if direction == "in" else 1]
    person = badge.person or ""
    return Badge(badge.event_id, source, person, min(at, received), place, target, own=at)


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the ledger holds around some badges of one operating day.

    `positions` are those of their people, `counts` those of the places around their doors and around these
    positions. `closed` says whether the day has been closed, `since` which of the places have been reported
    in the day after it. `early` are the ids of those of the badges that came before their own time before.
    """

    day: Day
    positions: Mapping[str, Position]
    counts: Mapping[str, Count]
    closed: bool = False
    since: frozenset[str] = frozenset()
    early: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Settled:
    """What Calven is to be told for a badge, or the reason why there is nothing.

    A `merged` badge has changed counts that are told with a later badge, as the facts with ids in `within`.
    """

    facts: Sequence[Fact] = ()
    reason: str = ""
    within: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Changes:
    """What badges make of the ledger: the positions and counts to write, and what became of each badge."""

    positions: Mapping[str, Position]
    counts: Mapping[str, Count]
    settled: Sequence[Settled]


def settle(badges: Sequence[Badge], ledger: Ledger, config: Config, apart: int = 0) -> Changes:
    """Move people, and count the places left and entered. Older badges and duplicates move nobody.

    Each count that changes is told; of several changes of one place those that lie at least `apart`
    milliseconds before the next one told, and the last. In a closed day the day's zero follows, unless
    something newer was told already. Also told is every count around the badges that is still untold.
    """
    positions, counts = dict(ledger.positions), dict(ledger.counts)
    changed: dict[str, list[tuple[int, Count]]] = {}
    reasons: dict[int, str] = {}
    early = set(ledger.early)
    for number, badge in enumerate(badges):
        position = positions[badge.person]
        reason = "duplicate" if badge.id in early else position.stale(badge)
        if badge.early:
            early.add(badge.id)
        if reason:
            reasons[number] = reason
            continue
        entered = config.around(badge.target)
        moves = {place: -1 for place in position.path if place not in entered}
        moves |= {place: 1 for place in entered if place not in position.path}
        for place, by in moves.items():
            counts[place] = _counted(counts[place], place, by, badge, ledger, config)
            changed.setdefault(place, []).append((number, counts[place]))
        moved = replace(positions[badge.person], path=entered, at=badge.at, event=badge.id, moved=False)
        positions[badge.person] = moved
        reasons[number] = "merged" if moves else "unchanged"
    told = _told(badges, ledger, config, counts, changed, apart)
    return Changes(
        positions={person: p for person, p in positions.items() if p != ledger.positions[person]},
        counts={place: counts[place] for place in changed},
        settled=[_settled(told, number, reasons[number], changed) for number in range(len(badges))],
    )


Told = Sequence[tuple[int, Fact]]
"""Facts, each with the number of the badge that it is told for."""


def _told(
    badges: Sequence[Badge],
    ledger: Ledger,
    config: Config,
    counts: Mapping[str, Count],
    changed: Mapping[str, Sequence[tuple[int, Count]]],
    apart: int,
) -> Told:
    told: list[tuple[int, Fact]] = []
    around = [{*config.around(b.place), *ledger.positions[b.person].path} for b in badges]
    for place, count in counts.items():
        if changes := changed.get(place):
            told += [
                (number, earlier.fact(place, ledger.day)) for number, earlier in _thinned(changes, apart)
            ]
            last = changes[-1][0]
        else:
            last = next(number for number, places in enumerate(around) if place in places)
        untold = count.untold(place, ledger.day, told_since=place in ledger.since)
        told += [(last, fact) for fact in untold]
    return told


def _thinned(changes: Sequence[tuple[int, Count]], apart: int) -> Sequence[tuple[int, Count]]:
    """Of the changes of a place before its last one, those far enough before the next one that is told."""
    kept = [changes[-1]]
    for change in reversed(changes[:-1]):
        if kept[-1][1].at - change[1].at >= apart:
            kept.append(change)
    return kept[:0:-1]


def _settled(
    told: Told, number: int, reason: str, changed: Mapping[str, Sequence[tuple[int, Count]]]
) -> Settled:
    if facts := [fact for of, fact in told if of == number]:
        return Settled(facts)
    if reason != "merged":
        return Settled((), reason)
    last = {changes[-1][1].event_id for changes in changed.values() if number in dict(changes)}
    return Settled((), reason, frozenset(last))


def _counted(count: Count, place: str, by: int, badge: Badge, ledger: Ledger, config: Config) -> Count:
    return called(
        changed(count, place, by, (badge.source, badge.event_id), badge.at, ledger.day, closed=ledger.closed),
        place,
        config,
    )


def changed(
    count: Count, place: str, by: int, cause: tuple[str, str], at: int, day: Day, *, closed: bool
) -> Count:
    """A count with so many people more or fewer. `cause` is the source and its event's id."""
    # The day's first instant belongs to the zero of the day before.
    at = min(max(at, count.at + 1, day.start + 1), day.end - 1)
    people = max(count.people + by, 0)
    return replace(
        count,
        people=people,
        version=count.version + 1,
        at=at,
        event_id=event_id(*cause, place, at, people),
        source=cause[0],
        ended=closed,
        late=closed,
        moved=False,
    )


def called(count: Count, place: str, config: Config) -> Count:
    """A count that knows what its place is called now, so that it can be told when the place is gone."""
    name = config.name_of(place)
    if name is None:
        return count
    return replace(count, name=name, type=config.places[name].location_type)


def end(count: Count) -> Count:
    """A place's count once its day is over: empty, and to be told so if it held somebody."""
    if count.ended or not count.people:
        return count
    return replace(count, ended=True, late=False, version=count.version + 1)


def event_id(source: str, vendor_event_id: str, place: str, at: int, people: int | str) -> str:
    """Calven's `eventId` for a fact: the same for the same fact, another for any other."""
    return str(uuid5(NAMESPACE, "|".join((source, vendor_event_id, place, str(at), str(people)))))
