"""Headcount per place from badge events: pure functions, no storage.

A badge says that a person passed a door. Calven wants to know how many people are in a place. So the ledger
keeps a `Position` for each person and a `Count` for each place, both of one operating day of one site.
`relay.occupancy.settlement` says what badges make of them. https://apidocs.calven.com describes the occupancy
event.
"""

import hashlib
import hmac
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import uuid5

from pydantic import BaseModel, ConfigDict

from relay.config.model import Config, Door, LocationType
from relay.events import NAMESPACE, BadgeEvent, iso_ms, milliseconds, same_person
from relay.occupancy.days import Day

REPORT_AFTER_MS = 60_000
"""So long after a change the schedule reports it: the event that made the change reports it before."""


class Fact(BaseModel):
    """One settled occupancy event: so many people in that place at that instant (Unix milliseconds).

    `location_id` is the place, `place` its name then. `version` is that of its count in the operating day
    with the key `day`. A sensor's reading is of no day. `people` is None where a sensor says only whether
    there is anybody; `occupied` then holds that. `removed` says that the place has left the configuration.
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
    removed: bool = False

    def payload(self, config: Config) -> dict[str, object]:
        """The event as `POST /v1/occupancy` takes it.

        A place that is not configured any more is looked up by its name, so that a corrected `locationId`
        heals it. Where nothing has its name either, or another place has, the event goes to the place as it
        was.
        """
        name = config.name_of(self.location_id)
        if name is None and self._may_be_corrected(config):
            name = self.place
        place = config.places.get(name) if name else None
        event: dict[str, object] = {
            "timestamp": iso_ms(self.at),
            "locationId": place.location_id if place else self.location_id,
            "locationType": place.location_type if place else self.location_type,
            "eventId": self.event_id,
            "occupied": bool(self.people) if self.occupied is None else self.occupied,
        }
        if self.people is not None:
            event["occupancy"] = self.people
        return event

    def _may_be_corrected(self, config: Config) -> bool:
        """Whether what has the name of its place now is the same place."""
        return not self.removed and self.location_id not in config.lineage.taken.get(self.place, {})


PendingFact = tuple[str, Fact]
"""A fact that Calven has not accepted yet, behind the key of the source that it is reported for."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a person is since the badge `event` at `at` (ms).

    `path` holds the places from the inside out, by the `locationId` under which they were counted; outside it
    is empty. A position has `moved` when the day of another site counts the person instead.
    """

    path: tuple[str, ...] = ()
    at: int = 0
    event: str = ""
    moved: bool = False
    revision: int = 0

    @property
    def current(self) -> bool:
        """Whether a badge made it, and its day still counts the person."""
        return bool(self.event) and not self.moved

    def reason_to_ignore(self, badge: "Badge") -> str:
        """Why a badge does not move this person; empty where it does."""
        if badge.id == self.event:
            return "duplicate"
        if badge.order < (self.at, self.event):
            return "superseded"
        return ""


@dataclass(frozen=True, slots=True)
class Count:
    """How many people are in a place, and what Calven has been told about it.

    Every change raises `version`. `reported` is the newest version that Calven has accepted or that is safe
    in a queue, and `reported_as` what that said (None where it is not known); `queued` is the newest that the
    schedule has put into a queue. `at`, `event_id` and `source` are
    the instant (ms), id and source of the day's last report. A day that has `ended` is reported empty at its
    end, whatever `people` says. A count is `late` when it changed after that. `name` and `type` are the
    place's when it was last counted. A count has `moved` when the day of another site reports the place
    instead.
    """

    people: int = 0
    version: int = 0
    reported: int = 0
    reported_as: int | None = None
    queued: int = 0
    at: int = 0
    event_id: str = ""
    source: str = ""
    ended: bool = False
    late: bool = False
    name: str = ""
    type: LocationType = "place"
    moved: bool = False

    @property
    def is_pending(self) -> bool:
        """Whether Calven has not been told of it as it is."""
        return not self.moved and self.reported < self.version

    def pending_facts(self, place: str, day: Day, *, reported_next_day: bool = False) -> list[Fact]:
        """Facts that Calven has not accepted yet, the same each time until the count changes.

        After the day's end that is its zero, behind the count that a late badge made. Where the place was
        `reported_next_day` the zero after a late badge is no news any more.
        """
        if not self.is_pending:
            return []
        if not self.ended:
            return [self.fact(place, day)]
        if not self.late:
            return [self._zero(place, day)]
        if reported_next_day:
            return [self.fact(place, day)]
        return [self.fact(place, day), self._zero(place, day)]

    def waits_for(self, shadowed: Collection[str]) -> bool:
        """Whether the schedule has to wait until one of these sources is live again.

        That a day has ended is said in no source's name: else a place would never be empty again.
        """
        return self.source in shadowed and (self.late or not self.ended)

    def fact(self, place: str, day: Day) -> Fact:
        """The count as a fact of its last report."""
        return self._fact(place, day, self.event_id, self.at, self.people)

    def _zero(self, place: str, day: Day) -> Fact:
        """The fact that nobody is in the place at the end of the day."""
        # Another id for each version: the zero behind a late badge is news, although it says the same.
        zero_id = event_id(self.source, f"reset:{self.version}", place, day.end, 0)
        return self._fact(place, day, zero_id, day.end, 0)

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

    `place` is the place of the door, `target` the place that the door leads to, by `locationId`; outside is
    None. `vendor_at` is the time that the vendor gives (ms). Where that is after the receipt, `at` is the
    receipt.
    """

    event_id: str
    source: str
    person: str
    at: int
    place: str
    target: str | None
    vendor_at: int

    @property
    def early(self) -> bool:
        """Whether it was received before the time that the vendor gives it."""
        return self.vendor_at > self.at

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
    # Without a key, whoever reads the table could try addresses until the hash fits.
    digest = hmac.new(key, identity.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
    return badge.model_copy(update={"person": digest[:32]})


def through(badge: BadgeEvent, door: Door, source: str, received_at: float, config: Config) -> Badge:
    """The badge at that door. A direction that the vendor reports overrides the door's."""
    place, *outer = config.around(config.places[door.place].location_id)
    target: str | None = place
    if (badge.direction or door.direction) == "out":
        target = outer[0] if outer else None
    vendor_at = milliseconds(badge.at)
    return Badge(
        event_id=badge.event_id,
        source=source,
        person=badge.person or "",
        # A wrong clock that is ahead must not freeze the person until then.
        at=min(vendor_at, round(received_at * 1000)),
        place=place,
        target=target,
        vendor_at=vendor_at,
    )


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a count changes: an event of a source. The id of the fact is made of both."""

    source: str
    event_id: str


def differences(left: Sequence[str], entered: Sequence[str]) -> dict[str, int]:
    """By how many people each place changes when somebody goes from some places to others."""
    fewer = {place: -1 for place in left if place not in entered}
    more = {place: 1 for place in entered if place not in left}
    return fewer | more


def count_after(count: Count, place: str, by: int, cause: Cause, at: int, day: Day, *, closed: bool) -> Count:
    """A count with so many people more or fewer, to be reported with a time of its own."""
    # Times of a place increase within a day. The day's first instant belongs to the zero of the day before.
    at = min(max(at, count.at + 1, day.start + 1), day.end - 1)
    # A count that was lost must not become negative.
    people = max(count.people + by, 0)
    return replace(
        count,
        people=people,
        version=count.version + 1,
        at=at,
        event_id=event_id(cause.source, cause.event_id, place, at, people),
        source=cause.source,
        ended=closed,
        late=closed,
        moved=False,
    )


def with_name(count: Count, place: str, config: Config) -> Count:
    """A count that knows its place's name and type, so that it can be reported when the place is gone."""
    name = config.name_of(place)
    if name is None or (name, config.places[name].location_type) == (count.name, count.type):
        return count
    return replace(count, name=name, type=config.places[name].location_type)


def count_at_end(count: Count) -> Count:
    """A place's count once its day is over. Where it held somebody, its zero is to be reported."""
    if count.ended or not count.people:
        return count
    return replace(count, ended=True, late=False, version=count.version + 1)


def old_enough(counts: Mapping[str, Count], now: int) -> dict[str, Count]:
    """The counts that no badge changed just now: what a badge changes it reports itself."""
    return {place: count for place, count in counts.items() if count.at < now - REPORT_AFTER_MS}


def reported_places(counts: Mapping[str, Count]) -> frozenset[str]:
    """The places of which there was something to report."""
    return frozenset(place for place, count in counts.items() if count.at)


def all_reported(counts: Iterable[Count]) -> bool:
    """Whether nothing of some counts is pending, be it in a queue or held back."""
    return not any(count.is_pending for count in counts)


def late_is_pending(counts: Iterable[Count]) -> bool:
    """Whether what a late badge made of a count is pending: then what the next day has reported matters."""
    return any(count.is_pending and count.late for count in counts)


def unqueued_facts(
    day: Day,
    counts: Mapping[str, Count],
    reported_next_day: Collection[str] = (),
    shadowed: Collection[str] = (),
) -> list[PendingFact]:
    """The pending facts of a day's counts that the schedule has not put into a queue yet.

    `shadowed` are the keys of the sources in whose name nothing is sent.
    """
    found: list[PendingFact] = []
    for place, count in counts.items():
        if count.queued >= count.version or count.waits_for(shadowed):
            continue
        facts = count.pending_facts(place, day, reported_next_day=place in reported_next_day)
        found += [(count.source, fact) for fact in facts]
    return found


def event_id(source: str, vendor_event_id: str, place: str, at: int, people: int | str) -> str:
    """Calven's `eventId` for a fact: the same for the same fact, another for any other."""
    return str(uuid5(NAMESPACE, "|".join((source, vendor_event_id, place, str(at), str(people)))))
