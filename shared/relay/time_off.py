"""Leave: which days Calven should hold as away, and the difference to send. Pure functions, no storage.

Calven acts on dates, not on requests: `scheduled` makes days away, `cancelled` gives days back. So each
employee has days *wanted* (covered by approved leave of any source) and days *held* (that Calven may have as
away), and what is sent is always the difference of the two.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TypeVar
from uuid import uuid5

from relay.config import Source, TimeOffType
from relay.days_off import days_off, span
from relay.errors import InvalidLeave
from relay.events import NAMESPACE, LeaveChange, LeaveState

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
    that it is all that is known of a leave.
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

    def rank(self) -> tuple[object, ...]:
        """What decides between two versions: the later change, at equal times an ending, then content."""
        return (
            self.version,
            STATES.index(self.state),
            str(self.start),
            str(self.end),
            sorted(self.gaps),
            self.type,
            self.email.lower(),
        )

    def days(self) -> Iterator[date]:
        """Each day of an approved leave; none of any other."""
        if self.state == "approved" and self.start and self.end:
            yield from (day for day in span(self.start, self.end) if day not in self.gaps)


@dataclass(frozen=True, slots=True)
class Held:
    """A day that Calven may hold as away: its type (None where unknown), and whether Calven confirmed it."""

    type: TimeOffType | None
    confirmed: bool


@dataclass(frozen=True, slots=True)
class TimeOff:
    """One time-off event to send: a range of days, and its type when they are `scheduled`."""

    start: date
    end: date
    type: TimeOffType | None

    def event_id(self, source: str, vendor_event_id: str, email: str) -> str:
        """Calven's `eventId`: of source, vendor's event and all that the event says."""
        said = (self.start, self.end, self.type or "cancelled", email.lower())
        return str(uuid5(NAMESPACE, "|".join((source, vendor_event_id, *map(str, said)))))

    def payload(self, event_id: str, email: str) -> dict[str, object]:
        """The event as `POST /v1/timeoff` takes it."""
        event: dict[str, object] = {
            "eventId": event_id,
            "email": email,
            "eventType": "scheduled" if self.type else "cancelled",
            "startDate": self.start.isoformat(),
            "endDate": self.end.isoformat(),
        }
        return {**event, "timeOffType": self.type} if self.type else event


def leave_of(change: LeaveChange, source: Source, today: date) -> Leave:
    """What the ledger keeps of a change; raises `InvalidLeave` where it is approved and cannot be sent."""
    off: list[date] = []
    dated = True
    try:
        off = _days_away(change, source)
    except InvalidLeave:
        if change.state == "approved":
            raise
        dated = False
    return Leave(
        state=change.state,
        version=change.version,
        email=change.email if change.email and ADDRESS.fullmatch(change.email) else "",
        start=off[0] if off else None,
        end=off[-1] if off else None,
        gaps=frozenset(span(off[0], off[-1])) - frozenset(off) if off else frozenset(),
        type=source.time_off_type(change.type_name),
        recorded=today,
        dated=dated,
    )


def _days_away(change: LeaveChange, source: Source) -> list[date]:
    """The days that Calven is to hold, in order: the whole ones, and where the source says so all others."""
    shares = days_off(change, source.whole_day_hours)
    return [day for day, share in shares.items() if share == "whole" or source.part_days == "whole"]


def wanted(leaves: Iterable[Leave]) -> dict[date, TimeOffType]:
    """The days of all approved leave; where two cover a day, the newest one's type."""
    return {day: leave.type for leave in sorted(leaves, key=Leave.rank) for day in leave.days()}


def to_send(want: Mapping[date, TimeOffType], held: Mapping[date, Held]) -> list[TimeOff]:
    """The difference between wanted and held, as ranges of adjacent days of one kind."""
    cancelled: dict[date, TimeOffType | None] = {day: None for day in held if day not in want}
    scheduled = {day: kind for day, kind in want.items() if held.get(day) != Held(kind, confirmed=True)}
    return [TimeOff(*run) for run in runs({**cancelled, **scheduled})]


def runs(values: Mapping[date, V]) -> list[tuple[date, date, V]]:
    """Adjacent days of one value as (first day, last day, value), in order of time."""
    found: list[tuple[date, date, V]] = []
    for day in sorted(values):
        if found and found[-1][1] + ONE_DAY == day and found[-1][2] == values[day]:
            found[-1] = (found[-1][0], day, values[day])
        else:
            found.append((day, day, values[day]))
    return found


def attempted(held: Mapping[date, Held], sending: Sequence[TimeOff]) -> dict[date, Held]:
    """What Calven may hold from the moment when these are sent: all their days, unconfirmed."""
    return {**held, **{d: Held(t.type, confirmed=False) for t in sending for d in span(t.start, t.end)}}


def accepted(held: Mapping[date, Held], sent: TimeOff) -> dict[date, Held]:
    """What Calven holds once it has accepted one of them."""
    days = set(span(sent.start, sent.end))
    if sent.type is None:
        return {day: value for day, value in held.items() if day not in days}
    return {**held, **dict.fromkeys(days, Held(sent.type, confirmed=True))}


def refused(held: Mapping[date, Held], sent: TimeOff, before: Mapping[date, Held]) -> dict[date, Held]:
    """What Calven holds once it has refused one of them: what it held before, or is now known to hold."""
    days = {day for day in span(sent.start, sent.end) if held.get(day) == Held(sent.type, confirmed=False)}
    kept = {day: value for day, value in held.items() if day not in days}
    return {**kept, **{day: value for day, value in before.items() if day in days}}


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
        if day >= today - KEPT or day in covered or not value.confirmed
    }
