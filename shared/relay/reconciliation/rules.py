"""What a list of leave and the ledger disagree about. Pure functions, no storage.

A list is not trusted to end many leaves: one that is empty, short or of another company would give back
everybody's days.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from relay.events import Event, LeaveChange, milliseconds, same_person
from relay.time_off.decision import REPLACED, Arrival
from relay.time_off.rules import Leave

PAST_DAYS, COMING_DAYS = 7, 400
"""So many days before and after today are listed."""
FEW_ENDS = 10
"""So many current and coming leaves may end by one list, unless they are more than half of all."""
MOST_ENDED_SHARE = 1 / 10
"""Of more leaves than those few, no more than this share may end."""

Versions = Literal["own", "asked"]
"""Whether a list has the vendor's own time of each change, or only the time when it was asked for."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A leave of which a list says something else than the ledger.

    `change` is what the list says, `event` what is queued for it: where only the vendor's API knows whose it
    is, the thin event. `known` and `listed` are the leave in the ledger and in the list. `refused` is the
    reason why Calven cannot be told of it, if there is one.
    """

    event: Event
    change: LeaveChange
    employee: str
    known: Leave | None
    listed: Leave | None
    refused: str = ""


def first_day(today: date) -> date:
    """The first day of which leave is listed."""
    return today - timedelta(days=PAST_DAYS)


def last_day(today: date) -> date:
    """The last day of which leave is listed."""
    return today + timedelta(days=COMING_DAYS)


def differs(arrival: Arrival, known: Leave | None, versions: Versions, *, only_ranges: bool = False) -> bool:
    """Whether the ledger has to hear of a listed leave: whether it does not have it like that.

    `only_ranges` says that the list has only the first and the last day of a leave.
    """
    listed = arrival.leave_beside(known)
    if known is None:
        # What is not approved, and was never seen, is at no time at Calven.
        return listed.state == "approved" and (listed.start is not None or arrival.refused is not None)
    if known.version == REPLACED or _is_newer_than_list(known, arrival.change):
        return False
    by_time = _differs_by_time(listed, known) if versions == "own" else None
    if by_time is not None:
        return by_time
    if listed.state != "approved":
        return known.state == "approved"
    if arrival.refused is not None:
        # It was refused before as well: the same words come to the same.
        return known.content != listed.content
    if known.state != "approved":
        return True
    if only_ranges:
        return _reaches_beyond(known, arrival.change)
    return _is_read_otherwise(listed, known)


def _differs_by_time(listed: Leave, known: Leave) -> bool | None:
    """Whether a leave differs by the vendor's own time of its change; None where that does not decide."""
    if listed.version != known.version:
        return listed.version > known.version
    if known.inferred:
        return None
    if known.state == "ended" or listed.content != known.content:
        # At one time of change an ending wins; and a webhook may say more of a change than a list does.
        return False
    return None


def is_over(leave: Leave, first: date) -> bool:
    """Whether a leave ended before this day."""
    return leave.end is not None and leave.end < first


def _is_newer_than_list(known: Leave, change: LeaveChange) -> bool:
    """Whether news of a leave came while the list was being read: then the webhook is right."""
    return change.listed_at is not None and known.received > milliseconds(change.listed_at)


def _is_read_otherwise(listed: Leave, known: Leave) -> bool:
    # A container with older configuration knows no better.
    if listed.config < known.config:
        return False
    if listed.email and same_person(listed.email) != same_person(known.email):
        return True
    days = (listed.start, listed.end, listed.gaps, listed.type)
    return days != (known.start, known.end, known.gaps, known.type)


def _reaches_beyond(known: Leave, change: LeaveChange) -> bool:
    """Whether a leave has days outside of the range that a list has for it."""
    if known.start is None or known.end is None:
        return False
    # "9" sorts after every day: leave without an end reaches beyond nothing.
    return known.start.isoformat() < (change.start or "") or known.end.isoformat() > (change.end or "9")


def missing(
    known: Mapping[str, Leave], seen: Collection[str], first: date, last: date, began: int
) -> dict[str, Leave]:
    """The approved leaves of these days that a list lacked which began then (Unix milliseconds)."""
    return {
        leave_id: leave
        for leave_id, leave in known.items()
        # What was heard of since may not have been there yet when its page was read.
        if leave_id not in seen and leave.heard_at <= began and _overlaps(leave, first, last)
    }


def _overlaps(leave: Leave, first: date, last: date) -> bool:
    if leave.state != "approved" or leave.start is None or leave.end is None:
        return False
    return leave.start <= last and leave.end >= first


def current_and_coming(known: Mapping[str, Leave], today: date) -> int:
    """How many approved leaves are not over yet."""
    return sum(_overlaps(leave, today, date.max) for leave in known.values())


def ends_too_many(lacking: Mapping[str, Leave], known: Mapping[str, Leave], today: date, listed: int) -> bool:
    """Whether a list that holds so many leaves is not to be trusted that those which it lacks have ended.

    Leave that is over is in neither count: it would make a few ends out to be most of what is left.
    """
    if not lacking:
        return False
    # An empty list may come of credentials that may see nothing.
    if listed == 0:
        return True
    ends, current = current_and_coming(lacking, today), current_and_coming(known, today)
    return ends > current / 2 or (ends > FEW_ENDS and ends > current * MOST_ENDED_SHARE)


def inferred_ends(lacking: Mapping[str, Leave], began: int) -> Iterator[Difference]:
    """The ends of leaves that a complete list lacked. Each keeps its own version: seen again, it goes on."""
    listed_at = datetime.fromtimestamp(began / 1000, UTC)
    for leave_id, leave in lacking.items():
        change = LeaveChange(
            event_id=f"lacking:{leave_id}"[:200],
            leave_id=leave_id,
            state="ended",
            version=leave.version,
            listed_at=listed_at,
            inferred=True,
        )
        yield Difference(change, change, leave.email, leave, None)
