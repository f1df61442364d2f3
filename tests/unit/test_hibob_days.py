"""The days of a leave as HiBob's API tells them: open ends, portions, hours."""

from typing import Any

import pytest

from tests.unit.test_vendor_hibob import CHANGE, fetched, request


@pytest.mark.parametrize("field", ["type", "requestRangeType"])
def test_open_ended(field: str) -> None:
    """Leave without an end says so, under either name of the field."""
    found = request(endDate=None)
    del found["type"]
    change = fetched({**found, field: "openEnded"})
    assert (change.open_ended, change.end, change.each_day) == (True, None, None)


@pytest.mark.parametrize(
    ("portions", "parts"),
    [
        ({"startDatePortion": "afternoon"}, (True, False)),
        ({"endDatePortion": "morning"}, (False, True)),
        ({"startDatePortion": None, "endDatePortion": None}, (False, False)),
        ({"startDatePortion": None, "startPortion": "afternoon"}, (True, False)),
    ],
)
def test_portions(portions: dict[str, Any], parts: tuple[bool, bool]) -> None:
    """Parts of the first and the last day are told apart."""
    change = fetched(request(**portions))
    assert (change.first_day_part, change.last_day_part) == parts


def test_portions_of_the_list_of_changes() -> None:
    """The names of `/requests/changes` are read where those of the single request are not there."""
    found = request()
    del found["startDatePortion"], found["endDatePortion"]
    change = fetched({**found, "startPortion": "afternoon", "endPortion": "morning"})
    assert (change.first_day_part, change.last_day_part) == (True, True)


@pytest.mark.parametrize(
    ("fields", "each_day"),
    [
        ({"type": "hours", "hoursOnDate": 2}, (2, "hours")),
        ({"type": "hours"}, (0.5, "days")),
        ({"type": "hoursOnRange", "dailyHours": "7", "dailyMinutes": 30}, (7.5, "hours")),
        ({"type": "portionOnRange", "dayPortion": "morning"}, (0.5, "days")),
        ({"type": "percentageOnRange", "percentageOfDay": 40}, (0.4, "days")),
        (
            {"type": "specificHoursDayDurations", "localStartTime": "09:15:00", "localEndTime": "12:00:00"},
            (2.75, "hours"),
        ),
        ({"type": "hours", "localStartTime": "22:00:00", "localEndTime": "02:30:00"}, (4.5, "hours")),
        ({"type": "hours", "localStartTime": "09:00:00", "localEndTime": "09:00:00"}, (0.5, "days")),
        ({"type": "DifferentDayDurations"}, (0.5, "days")),
        ({"type": "hours", "hoursOnDate": 2, "dailyHours": 8}, (2, "hours")),
        ({"type": "hoursOnRange", "hoursOnDate": 0, "dailyHours": 8, "minutes": 15}, (8.25, "hours")),
        ({"type": "hoursOnRange", "hoursOnDate": 3, "dailyHours": None}, (3, "hours")),
        ({"type": "portionOnRange", "dayPortion": "all_day", "hoursOnDate": 0}, (1, "days")),
        ({"type": "portionOnRange", "dailyHours": 8}, (8, "hours")),
        ({"type": "percentageOnRange", "percentageOfDay": 50, "dailyHours": 8}, (0.5, "days")),
        ({"type": "percentageOnRange", "dayPortion": "afternoon"}, (0.5, "days")),
    ],
)
def test_part_of_every_day(fields: dict[str, Any], each_day: tuple[float, str]) -> None:
    """What is taken of each day the type's own field says, else another; a part where none does."""
    found = fetched(request(**fields)).each_day
    assert found
    assert (found.value, found.unit) == each_day


def test_day_by_day() -> None:
    """A request of different days names each: by hours, by times, or by a portion."""
    durations = [
        {"date": "2027-04-05", "hours": 7, "minutes": 45},
        {"date": "2027-04-06", "dayDuration": {"localStartTime": "08:30:00", "localEndTime": "16:00:00"}},
        {"date": "2027-04-07", "dayDuration": {"portion": "all_day"}},
        {"date": "2027-04-08", "dayDuration": {"portion": "vacant"}},
        {"date": "2027-04-09"},
    ]
    change = fetched(request(type="differentSpecificHoursDayDurations", durations=durations))
    said = [(day.on[8:], day.value, day.unit) for day in change.days]
    by_the_hour = [("05", 7.75, "hours"), ("06", 7.5, "hours")]
    assert said == [*by_the_hour, ("07", 1, "days"), ("08", 0, "days"), ("09", 0.5, "days")]


def test_nested_range() -> None:
    """The dates may stand in a range of their own."""
    found = request()
    names = ("startDate", "startDatePortion", "endDate", "endDatePortion")
    inside = {name: found.pop(name) for name in names}
    assert fetched({**found, "dateRange": inside}) == CHANGE
