"""What reading a page of a vendor's list of leave takes, whatever the vendor."""

from collections.abc import Sequence

from relay.events import Event, LeaveChange, ThinEvent, iso
from relay.vendors.support.listing import Window
from relay.vendors.support.thin import LeaveNow, thin_without_address


def listed(change: LeaveChange, employee: str | None) -> Event:
    """A change as a list says it: its id is the same each time that the list says the same.

    Where somebody is to be told whose address only the vendor's API knows, it is a thin event.
    """
    named = change.model_copy(update={"event_id": f"list:{change.leave_id}:{change.content}"})
    return thin_without_address(named, employee)


def listed_leave(
    leave_id: str, leave: LeaveNow, window: Window, employee: str | None, email: str | None = None
) -> Event:
    """A leave as a list describes it, of the time when the listing began."""
    change = LeaveChange(
        # A placeholder, as in the vendors' modules: `listed` makes the id of the content.
        event_id="list",
        leave_id=leave_id,
        state=leave.state,
        declined=leave.declined,
        version=iso(window.began),
        email=email,
        **leave.details,
    )
    return listed(change, employee)


def overlaps(window: Window, start: str | None, end: str | None) -> bool:
    """Whether some of these days (`YYYY-MM-DD`) are in the window; without an end they go on for ever."""
    began_in_time = start is None or start <= window.last.isoformat()
    return began_in_time and (end is None or end >= window.first.isoformat())


def in_window(window: Window, events: Sequence[Event]) -> list[Event]:
    """The events without leave of other days: not every vendor filters as it is asked."""
    kept = []
    for event in events:
        change = event.change if isinstance(event, ThinEvent) else event
        if not isinstance(change, LeaveChange) or _is_in(window, change):
            kept.append(event)
    return kept


def _is_in(window: Window, change: LeaveChange) -> bool:
    named = sorted(day.on for day in change.days)
    # Some vendors name each day, and no range.
    if named and change.start is None and change.end is None:
        return overlaps(window, named[0], named[-1])
    return overlaps(window, change.start, change.end)
