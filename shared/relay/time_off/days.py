"""Which days of a leave are taken, and whether whole or in part. Pure functions, no storage.

Calven knows whole days only, so whoever sends leave to it has to know which days those are. Vendors say it in
several ways: day by day, as so much of every day, as a total, or as halves of the first and the last day.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Literal

from relay.errors import InvalidLeave
from relay.events import EARLIEST, LATEST, Amount, DayOff, LeaveChange

Share = Literal["whole", "part"]

LONGEST_DAYS = 400
ROUNDING = 1e-6
"""Three times 7.4 hours are a little more than 22.2: so much does not make a part of a day."""
WORKDAYS_A_WEEK = 5
# As `date.weekday` counts, from Monday on.
SATURDAY = 5


def days_off(change: LeaveChange, whole_day_hours: float) -> dict[date, Share]:
    """Each day of a leave that is taken, in order, whole or in part.

    A day of fewer hours than `whole_day_hours` is part of a day. Raises `InvalidLeave` where the leave has no
    end, or dates that cannot be told.
    """
    if change.has_no_end:
        raise InvalidLeave("the leave has no end date", reason="open_ended")
    named = _named(change.days)
    start, end = _first_and_last(change, named)
    if named:
        taken = {on: _share(day, whole_day_hours) for on, day in named.items() if start <= on <= end}
        return {on: share for on, share in taken.items() if share}
    of_each_day = _of_each_day(change.each_day, whole_day_hours)
    shares: dict[date, Share | None] = dict.fromkeys(span(start, end), of_each_day)
    short = change.total is not None and _is_short(change.total, start, end, whole_day_hours)
    # Which day of a total is short is unknown. A leave begins or ends within a day more often than it pauses.
    if change.first_day_part or short:
        shares[start] = _at_most_part(shares[start])
    if change.last_day_part or short:
        shares[end] = _at_most_part(shares[end])
    return {on: share for on, share in shares.items() if share}


def span(start: date, end: date) -> Iterator[date]:
    """Every day from start to end, both included."""
    return (start + timedelta(days=n) for n in range((end - start).days + 1))


def _named(days: Sequence[DayOff]) -> dict[date, DayOff]:
    """The days that are named one by one, in order; what is said twice of a day is taken together."""
    found: dict[date, DayOff] = {}
    for day in days:
        on = _date(day.on, "a day is no date")
        before = found[on].value if on in found else 0
        found[on] = day.model_copy(update={"value": before + day.value})
    return dict(sorted(found.items()))


def _first_and_last(change: LeaveChange, named: dict[date, DayOff]) -> tuple[date, date]:
    """The range that a change names, else that of the days that it names."""
    if named and change.end is None:
        start, end = min(named), max(named)
    else:
        missing = "start or end is missing or is no date"
        start, end = _date(change.start, missing), _date(change.end, missing)
    if start < EARLIEST.date() or end >= LATEST.date():
        raise InvalidLeave("start or end is in no year that leave is taken in", reason="invalid_dates")
    if end < start:
        raise InvalidLeave("the leave ends before it starts", reason="invalid_dates")
    if (end - start).days >= LONGEST_DAYS:
        raise InvalidLeave(f"the leave is longer than {LONGEST_DAYS} days", reason="invalid_dates")
    return start, end


def _date(text: str | None, otherwise: str) -> date:
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        raise InvalidLeave(otherwise, reason="invalid_dates") from None


def _share(amount: Amount, whole_day_hours: float) -> Share | None:
    """What an amount is of one day; None for nothing of it."""
    if amount.value == 0:
        return None
    whole = whole_day_hours if amount.unit == "hours" else 1.0
    if isinstance(amount, DayOff) and amount.working:
        # All that is worked on a day is the whole of it, however little that is.
        whole = min(whole, amount.working)
    return "whole" if amount.value >= whole - ROUNDING else "part"


def _of_each_day(amount: Amount | None, whole_day_hours: float) -> Share | None:
    return "whole" if amount is None else _share(amount, whole_day_hours)


def _at_most_part(share: Share | None) -> Share | None:
    return share and "part"


def _is_short(total: Amount, start: date, end: date, whole_day_hours: float) -> bool:
    """Whether so much from start to end leaves a part of some day to be worked.

    Nobody says which days of the range are worked: Monday to Friday are counted, and every day of a range
    without any of these. A total of 0 says nothing. One in days that falls short by whole days leaves out a
    day that is not worked, such as a holiday; only a fraction is part of a day.
    """
    workdays = sum(day.weekday() < SATURDAY for day in span(start, end)) or (end - start).days + 1
    if total.unit == "hours":
        return 0 < total.value < workdays * whole_day_hours - ROUNDING
    days = total.value * (WORKDAYS_A_WEEK if total.unit == "weeks" else 1)
    return 0 < days < workdays and days % 1 != 0
