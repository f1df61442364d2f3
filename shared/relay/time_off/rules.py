"""Leave: which days Calven should hold as away, and the difference to send. Pure functions, no storage.

Calven acts on dates, not on requests: `scheduled` makes days away, `cancelled` gives days back. So each
employee has days *wanted* (covered by approved leave of any source) and days *held* (that Calven may have as
away), and what is sent is always the difference of the two.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TypeVar
from uuid import uuid5

from relay.config.model import Source, TimeOffType
from relay.errors import InvalidLeave
from relay.events import NAMESPACE, LeaveChange, LeaveState, same_person
from relay.time_off.days import days_off, span

STATES: tuple[LeaveState, ...] = ("requested", "approved", "ended")
"""In the order in which they win at equal times."""
ADDRESS = re.compile(r"[^\s@\x00-\x20\x7f]+@[^\s@\x00-\x20\x7f]+")
"""Loose on purpose: whether somebody has the address is Calven's to say."""
KEPT = timedelta(days=60)
ONE_DAY = timedelta(days=1)

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Leave:
    """One leave as the ledger keeps it. `start` and `end` are the whole days off, None where none is left.

    `gaps` are days between the two that are not off, `former` the addresses that it was known under before,
    `recorded` the day when it was last heard of; `dated` says whether the change had usable dates, `unseen`
    that it is all that is known of a leave. `content` is a digest of what the vendor said, `config` tells
    with which configuration it was read: the later one is the greater. `inferred` is the end of a leave that
    a complete list lacked, `lacked_at` when that list began. `received` is when the last news came,
    `repeated_at` when these were said once more (all three Unix milliseconds).
    """

    state: LeaveState
    version: str
    email: str = ""
    former: tuple[str, ...] = ()
    start: date | None = None
    end: date | None = None
    gaps: frozenset[date] = frozenset()
    type: TimeOffType = "leave"
    recorded: date = date.min
    dated: bool = True
    unseen: bool = False
    content: str = ""
    config: int = 0
    inferred: bool = False
    lacked_at: int = 0
    received: int = 0
    repeated_at: int = 0

    @property
    def heard_at(self) -> int:
        """When the leave was last heard of as it is."""
        return max(self.received, self.repeated_at)

    def rank(self) -> tuple[str, int, str]:
        """What decides between two versions: the later change, at equal times an ending, then content.

        An inferred end gives way to anything that the vendor says, also to the same once more.
        """
        state = -1 if self.inferred else STATES.index(self.state)
        return self.version, state, self.content

    def takes_over(self, known: "Leave | None") -> bool:
        """Whether this is news: a later version, or the same one read with what is configured by now."""
        if known is None:
            return True
        if self.rank() != known.rank():
            return self.rank() > known.rank()
        # A container with older configuration must not read leave back into what it was.
        return self.config >= known.config and self.reading() != known.reading()

    def was_lacking(self, known: "Leave | None", said_at: int) -> bool:
        """Whether a list that began after this was said (Unix milliseconds) has shown that it is over.

        An end counts whenever it was said: after it, nothing of this version brings the leave back.
        """
        if known is None or not known.inferred or known.version != self.version:
            return False
        return self.state != "ended" and said_at <= known.lacked_at

    def is_read_later(self, known: "Leave | None") -> bool:
        """Whether this is what is known already, read with a later configuration that reads it alike."""
        if known is None or self.rank() != known.rank():
            return False
        return self.config > known.config and self.reading() == known.reading()

    def noted_on(self, known: "Leave | None", said_at: int) -> "Leave | None":
        """What is known already with what is to be noted of this, which is no news; None where nothing is."""
        if known is None or self.rank() != known.rank():
            return None
        # Else a container with configuration from between the two would read it as news.
        config = self.config if self.is_read_later(known) else known.config
        # What came before the ledger heard of it is another attempt at the same message, and no repeat.
        is_repeat = self.state == "approved" and said_at > known.heard_at
        repeated_at = said_at if is_repeat else known.repeated_at
        noted = replace(known, config=config, repeated_at=repeated_at)
        return None if noted == known else noted

    def reading(self) -> tuple[object, ...]:
        """What configuration and address make of the vendor's words."""
        # The address as it is written: whom Calven does not know in one spelling it may know in another.
        return self.start, self.end, self.gaps, self.type, self.email

    def with_days(self, off: Sequence[date]) -> "Leave":
        """The leave of these days, which are in order."""
        if not off:
            return replace(self, start=None, end=None, gaps=frozenset())
        gaps = frozenset(span(off[0], off[-1])) - frozenset(off)
        return replace(self, start=off[0], end=off[-1], gaps=gaps)

    def days(self) -> Iterator[date]:
        """Each day of an approved leave; none of any other."""
        if self.state == "approved" and self.start and self.end:
            yield from (day for day in span(self.start, self.end) if day not in self.gaps)


@dataclass(frozen=True, slots=True)
class Held:
    """A day that Calven may hold as away: its type (None where unknown), and whether Calven confirmed it.

    `email` is the spelling of the address under which it was told. `origins` are the sources (by their keys)
    for whose leave it is held. `instead` says of a day that is not confirmed that Calven may have held it
    otherwise before it was first attempted with this type.
    """

    type: TimeOffType | None
    confirmed: bool
    email: str = ""
    origins: frozenset[str] = frozenset()
    instead: bool = False


@dataclass(frozen=True, slots=True)
class TimeOff:
    """One time-off event to send: a range of days, and its type when they are `scheduled`.

    `email` is the spelling to send it under, where that is not the employee's newest.
    """

    start: date
    end: date
    type: TimeOffType | None
    email: str = ""

    def event_id(self, source: str, vendor_event_id: str, email: str) -> str:
        """Calven's `eventId`: of source, vendor's event and all that the event says."""
        said = (self.start, self.end, self.type or "cancelled", same_person(self.email or email))
        return str(uuid5(NAMESPACE, "|".join((source, vendor_event_id, *map(str, said)))))

    def is_apart_from(self, days: Collection[date]) -> bool:
        """Whether it schedules none of these days."""
        return self.type is not None and not any(day in days for day in span(self.start, self.end))

    def payload(self, event_id: str, email: str) -> dict[str, object]:
        """The event as `POST /v1/timeoff` takes it."""
        event: dict[str, object] = {
            "eventId": event_id,
            "email": self.email or email,
            "eventType": "scheduled" if self.type else "cancelled",
            "startDate": self.start.isoformat(),
            "endDate": self.end.isoformat(),
        }
        return {**event, "timeOffType": self.type} if self.type else event


def days_of(*leaves: Leave | None) -> frozenset[date]:
    """The days of some leaves, whatever became of them."""
    found: set[date] = set()
    for leave in leaves:
        if leave is not None:
            found.update(replace(leave, state="approved").days())
    return frozenset(found)


def leave_of(change: LeaveChange, source: Source, today: date, config: int = 0) -> Leave:
    """What the ledger keeps of a change; raises `InvalidLeave` where it is approved and cannot be sent."""
    off: list[date] = []
    dated = True
    try:
        off = _days_away(change, source)
    except InvalidLeave:
        # Of what ends or is only asked for no day is sent: unreadable dates do no harm.
        if change.state == "approved":
            raise
        dated = False
    return replace(without_days(change, source, today, config), dated=dated).with_days(off)


def without_days(change: LeaveChange, source: Source, today: date, config: int) -> Leave:
    """All that the ledger keeps of a change but its days."""
    return Leave(
        state=change.state,
        version=change.version,
        email=change.email if change.email and ADDRESS.fullmatch(change.email) else "",
        type=source.time_off_type(change.type_name),
        recorded=today,
        content=change.content,
        config=config,
    )


def still_covered(before: Leave | None, change: LeaveChange) -> list[date]:
    """The days that a leave had before and that a change which cannot be told still covers.

    A change without an end covers all from its start on, one that ends before it starts nothing.
    """
    if before is None:
        return []
    try:
        start = date.fromisoformat(change.start or "")
        end = date.max if change.has_no_end else date.fromisoformat(change.end or "")
    except ValueError:
        return []
    return [day for day in before.days() if start <= day <= end]


def _days_away(change: LeaveChange, source: Source) -> list[date]:
    """The days that Calven is to hold, in order: the whole ones, and where the source says so all others."""
    shares = days_off(change, source.whole_day_hours)
    return [day for day, share in shares.items() if share == "whole" or source.part_days == "whole"]


def wanted(leaves: Iterable[Leave]) -> dict[date, TimeOffType]:
    """The days of all approved leave; where two cover a day, the newest one's type."""
    # The newest comes last, and overwrites those before it.
    return {day: leave.type for leave in sorted(leaves, key=Leave.rank) for day in leave.days()}


def to_send(
    want: Mapping[date, TimeOffType], held: Mapping[date, Held], shadowed: Collection[str] = ()
) -> list[TimeOff]:
    """The difference between wanted and held, as ranges of adjacent days of one kind.

    What is cancelled is cancelled under the spelling that it was scheduled under. What is held for one of the
    `shadowed` sources stays as it is. Where nobody knows whether Calven has it, live leave may have it sent.
    """
    sending: dict[date, tuple[TimeOffType | None, str]] = {}
    for day, value in held.items():
        if day not in want and value.origins.isdisjoint(shadowed):
            sending[day] = None, value.email
    for day, kind in want.items():
        if not _is_as_wanted(held.get(day), kind, shadowed):
            sending[day] = kind, ""
    return [TimeOff(start, end, kind, email) for start, end, (kind, email) in runs(sending)]


def _is_as_wanted(held: Held | None, kind: TimeOffType, shadowed: Collection[str]) -> bool:
    """Whether Calven has a day as it is wanted, or as a shadowed source had it."""
    # Calven may have taken what nobody confirmed, or not: to send it again is safe either way.
    if held is None or not held.confirmed:
        return False
    return held.type == kind or not held.origins.isdisjoint(shadowed)


def runs(values: Mapping[date, V]) -> list[tuple[date, date, V]]:
    """Adjacent days of one value as (first day, last day, value), in order of time."""
    found: list[tuple[date, date, V]] = []
    for day in sorted(values):
        if found and found[-1][1] + ONE_DAY == day and found[-1][2] == values[day]:
            found[-1] = (found[-1][0], day, values[day])
        else:
            found.append((day, day, values[day]))
    return found


def attempted(held: Mapping[date, Held], sending: Sequence[TimeOff], email: str = "") -> dict[date, Held]:
    """What Calven may hold from the moment when these are sent: all their days, unconfirmed."""
    found = dict(held)
    for sent in sending:
        for day in span(sent.start, sent.end):
            origins = _told_for(held, day) if sent.type else _origins(held, day)
            instead = _is_other(held.get(day), sent.type)
            spelling = sent.email or email
            found[day] = Held(sent.type, confirmed=False, email=spelling, origins=origins, instead=instead)
    return found


def _is_other(before: Held | None, kind: TimeOffType | None) -> bool:
    """Whether Calven may hold a day by more than attempts to have it of this type."""
    if before is None:
        return False
    return before.confirmed or before.type != kind or before.instead


def accepted(
    held: Mapping[date, Held], sent: TimeOff, email: str = "", sending: Mapping[date, Held] | None = None
) -> dict[date, Held]:
    """What Calven holds once it has accepted one of them; `sending` is what it may have held meanwhile."""
    days = set(span(sent.start, sent.end))
    if sent.type is None:
        return {day: value for day, value in held.items() if day not in days}
    email = sent.email or email
    away: dict[date, Held] = {}
    for day in days:
        origins = _told_for(held, day) or _told_for(sending or {}, day)
        away[day] = Held(sent.type, confirmed=True, email=email, origins=origins)
    return {**held, **away}


def _origins(held: Mapping[date, Held], day: date) -> frozenset[str]:
    return held[day].origins if day in held else frozenset()


def _told_for(held: Mapping[date, Held], day: date) -> frozenset[str]:
    """The sources for whose leave Calven was told that somebody is away.

    What is only assumed of leave that ended unseen (its type is not known) was told by nobody here: else a
    source in shadow would keep a day that it never told.
    """
    return _origins(held, day) if day in held and held[day].type else frozenset()


def source_of(name: str) -> str:
    """The key of the source that a leave is of, by what an employee's item calls the leave."""
    return name.partition("/")[0]


def sources_by_day(leaves: Mapping[str, Leave]) -> dict[date, frozenset[str]]:
    """The sources (by their keys) whose approved leave covers each day."""
    found: dict[date, frozenset[str]] = {}
    for name, leave in leaves.items():
        for day in leave.days():
            found[day] = found.get(day, frozenset()) | {source_of(name)}
    return found


def with_origins(
    held: Mapping[date, Held], covering: Mapping[date, frozenset[str]], shadowed: Collection[str]
) -> dict[date, Held]:
    """The held days, each with the sources for whose leave it is held.

    `covering` are the live sources whose leave covers each day. A shadowed source keeps the days that it had.
    A day that nothing covers any more is its last sources' until Calven has given it back.
    """
    found: dict[date, Held] = {}
    for day, value in held.items():
        origins = covering.get(day, frozenset()) | value.origins.intersection(shadowed)
        found[day] = replace(value, origins=origins or value.origins)
    return found


def refused(held: Mapping[date, Held], sent: TimeOff, before: Mapping[date, Held]) -> dict[date, Held]:
    """What Calven holds once it has refused one of them: what it held before, or is now known to hold."""
    # Days that were confirmed meanwhile, or changed, are another submission's.
    unconfirmed = {day for day, value in held.items() if value.type == sent.type and not value.confirmed}
    days = unconfirmed.intersection(span(sent.start, sent.end))
    kept = {day: value for day, value in held.items() if day not in days}
    # A day that was only ever attempted like this is what was refused, however often. A cancellation that
    # was refused leaves whatever it was to take back.
    restored = {
        day: value
        for day, value in before.items()
        if day in days and (sent.type is None or _is_other(value, sent.type))
    }
    return {**kept, **restored}


def recent(leaves: Mapping[str, Leave], today: date) -> dict[str, Leave]:
    """Without the leaves that ended, and were last heard of, over 60 days ago."""
    return {
        name: leave
        for name, leave in leaves.items()
        if max(leave.end or date.min, leave.recorded) >= today - KEPT
    }


def recent_days(held: Mapping[date, Held], leaves: Mapping[str, Leave], today: date) -> dict[date, Held]:
    """Without the confirmed days over 60 days ago that no leave covers any more."""
    covered = wanted(leaves.values())
    return {
        day: value
        for day, value in held.items()
        # Unconfirmed days stay: Calven may hold them, and somebody has to give them back.
        if day >= today - KEPT or day in covered or not value.confirmed
    }
