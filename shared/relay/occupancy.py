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
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict

from relay.config import Config, Door, Place
from relay.events import BadgeEvent, iso_ms, milliseconds

NAMESPACE = UUID("6f0c8a53-5d0e-5c1b-9d1e-0f3a3c6f5b7a")
"""Under which every `eventId` that goes to Calven is made."""


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
    """Where a person is: the innermost place, or None for outside, since the badge `event` at `at` (ms)."""

    place: str | None = None
    at: int = 0
    event: str = ""
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Count:
    """How many people are in a place, and what Calven has been told about it.

    `version` counts what there was to tell, `reported` is the newest version that Calven has accepted or
    that is safe in a queue. `at`, `event_id` and `source` are the instant (ms), id and source of the last
    report within the day; a day that has `ended` was reported empty at its end, whatever `people` says.
    """

    people: int = 0
    version: int = 0
    reported: int = 0
    at: int = 0
    event_id: str = ""
    source: str = ""
    ended: bool = False
    revision: int = 0

    def fact(self, place: str, day: Day) -> Fact:
        """What Calven is to know now, the same each time until something changes."""
        reset = event_id(self.source, f"reset:{self.version}", place, day.end, 0)
        return Fact(
            event_id=reset if self.ended else self.event_id,
            place=place,
            at=day.end if self.ended else self.at,
            people=0 if self.ended else self.people,
            site=day.site,
            day=day.date.isoformat(),
            version=self.version,
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
    day, counts, position = ledger.day, ledger.counts, ledger.position
    order, last = (badge.at, badge.event_id), (position.at, position.event)
    if order <= last:
        reason = "duplicate" if order == last else "superseded"
        return Settled(None, {}, _unreported(counts, day), reason)
    left, entered = config.path(position.place), config.path(badge.target)
    changes = {place: -1 for place in left if place not in entered}
    changes |= {place: 1 for place in entered if place not in left}
    changed = {place: _counted(counts[place], place, by, badge, day) for place, by in changes.items()}
    history = [count.fact(place, day) for place, count in changed.items()] if ledger.closed else []
    if ledger.closed:
        changed = {place: _ended(count, told_since=place in ledger.since) for place, count in changed.items()}
    moved = replace(position, place=badge.target, at=badge.at, event=badge.event_id)
    facts = [*history, *_unreported({**counts, **changed}, day)]
    return Settled(moved, changed, facts, "" if facts else "unchanged")


def _counted(count: Count, place: str, by: int, badge: Badge, day: Day) -> Count:
    # The day's first instant belongs to the zero of the day before.
    people = max(count.people + by, 0)
    at = min(max(badge.at, count.at + 1, day.start + 1), day.end - 1)
    return replace(
        count,
        people=people,
        version=count.version + 1,
        at=at,
        event_id=event_id(badge.source, badge.event_id, place, at, people),
        source=badge.source,
        ended=False,
    )


def _ended(count: Count, *, told_since: bool) -> Count:
    return replace(count, ended=True, version=count.version - 1 if told_since else count.version)


def _unreported(counts: Mapping[str, Count], day: Day) -> list[Fact]:
    return [count.fact(place, day) for place, count in counts.items() if count.reported < count.version]


def end(count: Count) -> Count:
    """A place's count once its day is over: empty, and to be told so if it held somebody."""
    if count.ended or not count.people:
        return count
    return replace(count, ended=True, version=count.version + 1)


def event_id(source: str, vendor_event_id: str, place: str, at: int, people: int) -> str:
    """Calven's `eventId` for a fact: the same for the same fact, another for any other."""
    return str(uuid5(NAMESPACE, "|".join((source, vendor_event_id, place, str(at), str(people)))))
