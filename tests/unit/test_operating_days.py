"""Operating days: from one reset hour to the next, whatever the wall clock does meanwhile."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config.model import Config, FormerClock, Lineage
from relay.events import EARLIEST, LATEST
from relay.occupancy.days import REPORTED_FOR_MS, day_of, operating_day, recent_days
from tests.building import CONFIG, NOON_MS, config

SYDNEY, NEW_YORK = "Australia/Sydney", "America/New_York"
MINUTE = 60_000


@given(
    st.sampled_from((SYDNEY, NEW_YORK, "UTC", "Asia/Kathmandu", "America/Santiago", "Australia/Lord_Howe")),
    st.times().map(lambda at: at.strftime("%H:%M")),
    st.datetimes(EARLIEST.replace(year=2007, tzinfo=None), LATEST.replace(tzinfo=None)),
)
def test_operating_days(zone: str, reset_at: str, at: datetime) -> None:
    """Every instant is in one operating day; days follow each other without a gap and begin at the reset."""
    there = config(zone, reset_at)
    instant = int(at.replace(tzinfo=UTC).timestamp() * 1000)
    day = operating_day(there, "hq", instant)
    assert day.start <= instant < day.end
    assert day == day_of("hq", zone, reset_at, day.date)
    assert day_of("hq", zone, reset_at, day.date + timedelta(days=1)).start == day.end
    assert operating_day(there, "hq", day.end - 1) == operating_day(there, "hq", day.start) == day


@pytest.mark.parametrize("reset_at", ["00:00", "01:59", "02:00", "02:30", "03:00", "04:00", "12:00", "23:59"])
@pytest.mark.parametrize(
    ("zone", "on", "hours"),
    [
        (SYDNEY, date(2026, 10, 4), 23),
        (SYDNEY, date(2027, 4, 4), 25),
        (NEW_YORK, date(2027, 3, 14), 23),
        (NEW_YORK, date(2026, 11, 1), 25),
    ],
)
def test_daylight_saving(zone: str, on: date, hours: int, reset_at: str) -> None:
    """Around a clock change one operating day is an hour shorter or longer, and no other."""
    days = [day_of("hq", zone, reset_at, on + timedelta(days=shift)) for shift in range(-2, 3)]
    lengths = sorted((day.end - day.start) / 3_600_000 for day in days)
    assert lengths == sorted([24, 24, 24, 24, hours])
    starts = [datetime.fromtimestamp(day.start / 1000, ZoneInfo(zone)) for day in days]
    assert {start.time() for start in starts if start.date() != on} == {time.fromisoformat(reset_at)}
    assert [start.date() for start in starts] == [day.date for day in days]


@pytest.mark.parametrize("hour", [9, 10, 12, 14])
def test_skipped_date(hour: int) -> None:
    """Where a country skips a date, as Samoa did its 30 December of 2011, no instant is without a day."""
    at = int(datetime(2011, 12, 30, hour, tzinfo=UTC).timestamp() * 1000)
    day = operating_day(config("Pacific/Apia"), "hq", at)
    assert day.start <= at < day.end


def test_day_key() -> None:
    """A day is known by its site and the instant at which it begins."""
    before_reset = int(datetime(2026, 11, 4, 16, 59, tzinfo=UTC).timestamp() * 1000)
    assert operating_day(CONFIG, "hq", before_reset).key == "hq#2026-11-03T17:00Z"
    assert operating_day(CONFIG, "hq", before_reset + MINUTE).key == "hq#2026-11-04T17:00Z"


@pytest.mark.parametrize("zone", [SYDNEY, NEW_YORK, "Pacific/Apia"])
def test_recent_days(zone: str) -> None:
    """The days that the schedule reports follow each other, the latest first, back to fifteen days ago."""
    there = config(zone)
    days = recent_days(there, "hq", NOON_MS)
    assert days[0] == operating_day(there, "hq", NOON_MS)
    assert all(later.start == earlier.end for later, earlier in pairwise(days))
    assert days[-1].start <= NOON_MS - REPORTED_FOR_MS < days[-1].end


def test_former_clock() -> None:
    """The day that was open when the clock was changed lasts to the new one's reset."""
    open_day = operating_day(CONFIG, "hq", NOON_MS)
    until = open_day.end + 6 * 60 * MINUTE
    former = FormerClock(timezone=SYDNEY, reset_at="04:00", since=open_day.start, until=until)
    there: Config = config(SYDNEY, "10:00").model_copy(update={"lineage": Lineage(clocks={"hq": (former,)})})
    assert operating_day(there, "hq", until - 1).key == open_day.key
    assert [day.start for day in recent_days(there, "hq", until)][:3] == [
        until,
        open_day.start,
        operating_day(CONFIG, "hq", open_day.start - 1).start,
    ]
