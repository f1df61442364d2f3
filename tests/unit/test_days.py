"""Each day of a leave is whole, part or not taken, in whichever way the vendor says so."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config.model import Source
from relay.errors import InvalidLeave
from relay.events import Amount, DayOff, LeaveChange
from relay.time_off.days import days_off
from relay.time_off.rules import leave_of

MONDAY = date(2027, 2, 1)
SIX = 6.0

hours = st.floats(0, 24, allow_nan=False).map(lambda value: round(value, 2))


def day(number: int) -> date:
    """The n-th day from a Monday on."""
    return MONDAY + timedelta(days=number - 1)


def change(last: int | None = 5, **fields: Any) -> LeaveChange:
    """An approved leave from the first to the last of these days."""
    known = {"event_id": "e1", "leave_id": "1", "state": "approved", "version": "1", "email": "a@example.com"}
    dates = {"start": str(day(1)), "end": str(day(last))} if last else {}
    return LeaveChange.model_validate({**known, **dates, **fields})


def named(amounts: Mapping[int, float], unit: str = "hours", **working: float) -> list[dict[str, Any]]:
    """Days off by number."""
    return [{"on": str(day(n)), "value": value, "unit": unit, **working} for n, value in amounts.items()]


def shares(found: LeaveChange, whole_day_hours: float = SIX) -> dict[int, str]:
    """The same days as the rule tells them, by number."""
    return {(on - MONDAY).days + 1: share for on, share in days_off(found, whole_day_hours).items()}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (change(3, first_day_part=True), {1: "part", 2: "whole", 3: "whole"}),
        (change(3, last_day_part=True), {1: "whole", 2: "whole", 3: "part"}),
        (change(1, first_day_part=True, last_day_part=True), {1: "part"}),
        (change(2, each_day={"value": 2, "unit": "hours"}), {1: "part", 2: "part"}),
        (change(2, each_day={"value": 6, "unit": "hours"}), {1: "whole", 2: "whole"}),
        (change(2, each_day={"value": 0, "unit": "hours"}), {}),
        (change(1, total={"value": 2, "unit": "hours"}), {1: "part"}),
        (change(1, total={"value": 0.5, "unit": "days"}), {1: "part"}),
        (change(1, total={"value": 0.1, "unit": "weeks"}), {1: "part"}),
        (change(5, total={"value": 1, "unit": "weeks"}), dict.fromkeys(range(1, 6), "whole")),
        (change(3, total={"value": 16, "unit": "hours"}), {1: "part", 2: "whole", 3: "part"}),
        (change(3, total={"value": 18, "unit": "hours"}), {1: "whole", 2: "whole", 3: "whole"}),
        (change(3, total={"value": 17.9, "unit": "hours"}), {1: "part", 2: "whole", 3: "part"}),
        (change(3, total={"value": 2.5, "unit": "days"}), {1: "part", 2: "whole", 3: "part"}),
        (change(3, total={"value": 0, "unit": "hours"}), {1: "whole", 2: "whole", 3: "whole"}),
    ],
)
def test_ways_to_say_it(found: LeaveChange, expected: dict[int, str]) -> None:
    """Halves, so much of every day, and a total of which nobody knows where it is short."""
    assert shares(found) == expected


def test_total_over_a_weekend() -> None:
    """A weekend in a range is not what a total is short of: nobody takes leave from it."""
    friday_to_monday = change(
        None, start="2027-02-05", end="2027-02-08", total={"value": 15.2, "unit": "hours"}
    )
    assert set(days_off(friday_to_monday, SIX).values()) == {"whole"}
    saturday = change(None, start="2027-02-06", end="2027-02-06", total={"value": 2, "unit": "hours"})
    assert set(days_off(saturday, SIX).values()) == {"part"}


def test_total_with_a_holiday() -> None:
    """A total that lacks whole days leaves a holiday out; nothing of it is part of a day."""
    assert set(shares(change(5, total={"value": 4, "unit": "days"})).values()) == {"whole"}


def test_named_days() -> None:
    """A day that is named with nothing, and one that is not named, are not taken; nor is one out of range."""
    found = change(5, days=named({1: 8, 2: 0, 3: 4, 9: 8}), first_day_part=True)
    assert shares(found) == {1: "whole", 3: "part"}
    assert shares(change(None, days=named({3: 8, 1: 8}))) == {1: "whole", 3: "whole"}


def test_named_twice() -> None:
    """What is said twice of a day is taken together."""
    assert shares(change(1, days=[*named({1: 4}), *named({1: 4})])) == {1: "whole"}


@pytest.mark.parametrize(
    ("taken", "working", "share"),
    [(4, 4, "whole"), (4, 8, "part"), (7, 8, "whole"), (3, 4, "part"), (6, 0, "whole")],
)
def test_short_working_day(taken: float, working: float, share: str) -> None:
    """All that is worked on a day is the whole of it, where the vendor says how much that is."""
    assert shares(change(1, days=named({1: taken}, working=working))) == {1: share}


@given(st.dictionaries(st.integers(1, 60), hours, min_size=1, max_size=20), st.floats(1, 12), st.booleans())
def test_hours_of_days(taken: dict[int, float], whole: float, ends_are_named: bool) -> None:
    """Whole are the days of enough hours, whatever their order and wherever they lie in the range."""
    found = change(60 if ends_are_named else None, days=named(taken))
    expected = {n: "whole" if value >= whole else "part" for n, value in sorted(taken.items()) if value > 0}
    assert shares(found, whole) == expected


@given(
    st.integers(1, 40), st.booleans(), st.booleans(), st.none() | hours, st.sampled_from(("skip", "whole"))
)
def test_what_the_ledger_keeps(
    last: int, first_part: bool, last_part: bool, each: float | None, part_days: str
) -> None:
    """The ledger wants the whole days, and the others where the source says so: no day more, no day less."""
    source = Source.model_validate({"vendor": "generic", "partDays": part_days, "wholeDayHours": 7.5})
    amount = None if each is None else Amount(value=each, unit="hours")
    found = change(last, first_day_part=first_part, last_day_part=last_part, each_day=amount)
    parts: set[int] = set()
    if first_part:
        parts.add(1)
    if last_part:
        parts.add(last)
    if each is not None and each < source.whole_day_hours:
        parts = set(range(1, last + 1))
    taken = set() if each == 0 else set(range(1, last + 1))
    expected = taken if part_days == "whole" else taken - parts
    assert {(on - MONDAY).days + 1 for on in leave_of(found, source, MONDAY).days()} == expected


@pytest.mark.parametrize(
    "found",
    [
        change(None),
        change(None, days=[{"on": "soon", "value": 8, "unit": "hours"}]),
        change(None, days=named({1: 8, 500: 8})),
        change(None, days=[{"on": "1999-12-31", "value": 8, "unit": "hours"}]),
    ],
)
def test_days_that_cannot_be_told(found: LeaveChange) -> None:
    """Days that are none, too far apart or in no year that leave is taken in are refused by name."""
    with pytest.raises(InvalidLeave) as invalid:
        days_off(found, SIX)
    assert invalid.value.reason == "invalid_dates"


def test_days_are_in_order() -> None:
    """However a vendor lists them."""
    found = LeaveChange.model_validate({**change(None).model_dump(), "days": named({5: 8, 2: 8, 3: 8})})
    assert list(shares(found)) == [2, 3, 5]
    assert isinstance(found.days[0], DayOff)


def test_sums_of_tenths() -> None:
    """Three days of 7.4 hours are 22.2, and tenths of a day add up to a whole one, as people count them."""
    assert shares(change(3, total={"value": 22.2, "unit": "hours"}), 7.4) == dict.fromkeys((1, 2, 3), "whole")
    tenths = [{"on": str(day(1)), "value": value, "unit": "days"} for value in (0.7, 0.2, 0.1)]
    assert shares(change(1, days=tenths)) == {1: "whole"}
