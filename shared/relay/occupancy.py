"""Headcount per place from badge events: pure functions, no storage.

A badge says that a person passed a door; Calven wants how many people are in a place. So the ledger keeps a
`Position` for each person and a `Count` for each place, both of one operating day of one site, and `settle`
says what a badge makes of them. https://apidocs.calven.com describes the occupancy event.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from uuid import uuid5
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict

from relay.config import Config, Door, Place
from relay.events import NAMESPACE, BadgeEvent, iso_ms, milliseconds


class Fact(BaseModel):
    """One settled occupancy event: so many people in that place at that instant (Unix milliseconds).

    It names the place, not Calven's id for it, so that a corrected configuration still reaches it. `version`
    is that of the place's count in the operating day `day` of `site`.
    """

    model_config = ConfigDict(frozen=True)

    event_id: str
    place: str
    at: int
    people: int
    site: str
    day: str
    version: int

    def payload(self, place: Place) -> dict[str, object]:
        """The event as `POST /v1/occupancy` takes it."""
        return {
            "timestamp": iso_ms(self.at),
            "locationId": place.location_id,
            "locationType": place.location_type,
            "eventId": self.event_id,
            "occupied": self.people > 0,
            "occupancy": self.people,
        }


@dataclass(frozen=True, slots=True)
class Day:
    """One operating day of a site, as the instants (Unix milliseconds) between which it lies."""

    site: str
    date: date
    start: int
    end: int

    @property
    def key(self) -> str:
        """The day's name in the ledger."""
        return f"{self.site}#{self.date.isoformat()}"


@dataclass(frozen=True, slots=True)
class Position:
    """Where a person is since the badge `event` at `at` (ms): the places, from the inside out; outside, none.

    They are those that were counted, whatever the configuration has become since.
    """

    path: tuple[str, ...] = ()
    at: int = 0
    event: str = ""
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Count:
    """How many people are in a place, and what Calven has been told about it.

    `version` counts what there was to tell, `reported` is the newest version that Calven has accepted or
    that is safe in a queue. `at`, `event_id` and `source` are the instant (ms), id and source of the last
    report within the day. A day that has `ended` is reported empty at its end, whatever `people` says; `late`
    marks a count that changed after that.
    """

    people: int = 0
    version: int = 0
    reported: int = 0
    at: int = 0
    event_id: str = ""
    source: str = ""
    ended: bool = False
    late: bool = False
    revision: int = 0

    def untold(self, place: str, day: Day, *, told_since: bool = False) -> list[Fact]:
        """What Calven is still to be told, the same each time until something changes.

        After the day's end that is its zero, behind the count that a late badge made. `told_since` says
        that the next day's counts have been told: then the zero of a late badge is no news any more.
        """
        if self.reported >= self.version:
            return []
        told = [self._fact(place, day, self.event_id, self.at, self.people)]
        if not self.ended:
            return told
        reset = event_id(self.source, f"reset:{self.version}", place, day.end, 0)
        zero = [self._fact(place, day, reset, day.end, 0)]
        return told * self.late + zero * (not (self.late and told_since))

    def _fact(self, place: str, day: Day, fact_id: str, at: int, people: int) -> Fact:
        on = day.date.isoformat()
        version = self.version
        return Fact(
            event_id=fact_id, place=place, at=at, people=people, site=day.site, day=on, version=version
        )


@dataclass(frozen=True, slots=True)
class Badge:
    """A badge event with its door looked up: who (a keyed hash), when (ms), where to, by which source."""

    event_id: str
    source: str
    person: str
    at: int
    place: str
    target: str | None


def anonymous(badge: BadgeEvent, source: str, key: bytes) -> BadgeEvent:
    """The badge with its person as a keyed hash: of the e-mail address, else of source and vendor's id."""
    person = badge.person or ""
    identity = person.lower() if "@" in person else f"{source}|{person}"
    digest = hmac.new(key, identity.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
    return badge.model_copy(update={"person": digest[:32]})


def through(badge: BadgeEvent, door: Door, source: str, received_at: float, config: Config) -> Badge:
    """The badge at that door. A time later than the receipt counts as the receipt."""
    direction = badge.direction or door.direction
    at = min(milliseconds(badge.at), round(received_at * 1000))
    target = door.place if direction == "in" else config.places[door.place].within
    return Badge(badge.event_id, source, badge.person or "", at, door.place, target)


def operating_day(config: Config, site: str, at: int) -> Day:
    """The operating day of a site in which an instant (ms) lies."""
    zone = ZoneInfo(config.places[site].timezone)
    on = datetime.fromtimestamp(at / 1000, zone).date()
    days = (day_of(config, site, on + timedelta(days=shift)) for shift in (0, -1, 1))
    return next(day for day in days if day.start <= at < day.end)


def day_of(config: Config, site: str, on: date) -> Day:
    """The operating day of a site that begins on a date: from its reset hour to the next one."""
    start, end = (_reset(config.places[site], on + timedelta(days=shift)) for shift in (0, 1))
    return Day(site, on, start, end)


def _reset(site: Place, on: date) -> int:
    at = datetime.combine(on, time.fromisoformat(site.reset_at), ZoneInfo(site.timezone))
    return int(at.astimezone(UTC).timestamp()) * 1000


@dataclass(frozen=True, slots=True)
class Settled:
    """What a badge makes of the ledger: what to write, and what to tell Calven.

    `position` is None where the badge is not newer than what the ledger has; `reason` then says why, as it
    does where nothing is to be told. `facts` holds the changed counts and those still unreported.
    """

    position: Position | None
    counts: Mapping[str, Count]
    facts: Sequence[Fact]
    reason: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the ledger holds around a badge.

    `counts` are those of the places around its door and around the person's position. `closed` says whether
    the day has been closed, `since` which of the places have been reported in the day after it.
    """

    day: Day
    position: Position
    counts: Mapping[str, Count]
    closed: bool = False
    since: frozenset[str] = frozenset()


def settle(badge: Badge, ledger: Ledger, config: Config) -> Settled:
    """Move a person, and count the places left and entered. Older badges and duplicates move nobody.

    In a closed day each changed count is told with its own time, and the day's zero after it, unless
    something newer was told already.
    """
    counts, position = ledger.counts, ledger.position
    order, last = (badge.at, badge.event_id), (position.at, position.event)
    if badge.event_id == position.event or order < last:
        reason = "duplicate" if badge.event_id == position.event else "superseded"
        return Settled(None, {}, _untold(counts, ledger), reason)
    entered = config.path(badge.target)
    changes = {place: -1 for place in position.path if place not in entered}
    changes |= {place: 1 for place in entered if place not in position.path}
    changed = {place: _counted(counts[place], place, by, badge, ledger) for place, by in changes.items()}
    moved = replace(position, path=entered, at=badge.at, event=badge.event_id)
    facts = _untold({**counts, **changed}, ledger)
    return Settled(moved, changed, facts, "" if facts else "unchanged")


def _counted(count: Count, place: str, by: int, badge: Badge, ledger: Ledger) -> Count:
    # The day's first instant belongs to the zero of the day before.
    day = ledger.day
    at = min(max(badge.at, count.at + 1, day.start + 1), day.end - 1)
    people = max(count.people + by, 0)
    return replace(
        count,
        people=people,
        version=count.version + 1,
        at=at,
        event_id=event_id(badge.source, badge.event_id, place, at, people),
        source=badge.source,
        ended=ledger.closed,
        late=ledger.closed,
    )


def _untold(counts: Mapping[str, Count], ledger: Ledger) -> list[Fact]:
    return [
        fact
        for place, count in counts.items()
        for fact in count.untold(place, ledger.day, told_since=place in ledger.since)
    ]


def end(count: Count) -> Count:
    """A place's count once its day is over: empty, and to be told so if it held somebody."""
    if count.ended or not count.people:
        return count
    return replace(count, ended=True, late=False, version=count.version + 1)


def event_id(source: str, vendor_event_id: str, place: str, at: int, people: int) -> str:
    """Calven's `eventId` for a fact: the same for the same fact, another for any other."""
    return str(uuid5(NAMESPACE, "|".join((source, vendor_event_id, place, str(at), str(people)))))
