"""The operating days of a site, each from its reset hour to the next: pure functions, no storage."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property, lru_cache
from zoneinfo import ZoneInfo

from relay.config.model import Config

KEPT_SECONDS = 16 * 24 * 3600
"""So long after its end the ledger keeps a day: longer than a dead letter waits to be redriven."""
REPORTED_FOR_MS = 15 * 24 * 3600 * 1000
"""So long after its end a day is still closed and reported."""
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Day:
    """One operating day of a site, as the instants (Unix milliseconds) between which it lies.

    `site` is the site's `locationId`. `date` is the local date on which the day began. The day in `shadow`
    has the positions and counts of all shadowed sources.
    """

    site: str
    date: date
    start: int
    end: int
    shadow: bool = False

    @cached_property
    def key(self) -> str:
        """The day's name in the ledger, by its first instant: that stays when the site's clock is changed."""
        key = f"{self.site}#{datetime.fromtimestamp(self.start / 1000, UTC):%Y-%m-%dT%H:%MZ}"
        return f"{key}#shadow" if self.shadow else key

    def for_source(self, *, shadowed: bool) -> "Day":
        """The day in which badges of a source count, be it shadowed or not."""
        return self if shadowed == self.shadow else replace(self, shadow=shadowed)


def operating_day(config: Config, site: str, at: int) -> Day:
    """The operating day of a site (by `locationId`) in which an instant (ms) lies.

    A site whose zone or reset hour was changed keeps the day that was open then. That day ends at the first
    reset of the new clock. The days before it are as they were.
    """
    for former in config.lineage.clocks.get(site, ()):
        if at < former.since:
            return _day_around(site, former.timezone, former.reset_at, at)
        if at < former.until:
            began_on = _local_date(former.timezone, former.since)
            return Day(site, began_on, former.since, former.until)
    place = config.places[config.name_of(site) or ""]
    return _day_around(site, place.timezone, place.reset_at, at)


def recent_days(config: Config, site: str, now: int) -> list[Day]:
    """Today and the days of a site that are still reported, the latest first. `now` is Unix milliseconds."""
    days = [operating_day(config, site, now)]
    while days[-1].start > now - REPORTED_FOR_MS:
        days.append(operating_day(config, site, days[-1].start - 1))
    return days


def day_of(site: str, timezone: str, reset_at: str, on: date) -> Day:
    """The operating day of a site that begins on a date: from its reset hour to the next one."""
    start = _first_instant(timezone, reset_at, on)
    end = _first_instant(timezone, reset_at, on + ONE_DAY)
    return Day(site, on, start, end)


def _day_around(site: str, timezone: str, reset_at: str, at: int) -> Day:
    on = _local_date(timezone, at)
    # Before the reset hour it is still the day that began a date earlier, or two where the country skipped a
    # date. It is the day of the next date where a clock at midnight was put back after the reset.
    candidates = (day_of(site, timezone, reset_at, on + shift * ONE_DAY) for shift in (0, -1, 1, -2))
    return next(day for day in candidates if day.start <= at < day.end)


def _local_date(timezone: str, at: int) -> date:
    return datetime.fromtimestamp(at / 1000, ZoneInfo(timezone)).date()


@lru_cache(maxsize=1_000)
def _first_instant(timezone: str, reset_at: str, on: date) -> int:
    """When the day of a date begins (Unix milliseconds)."""
    # Where the clocks skip this time, or repeat it, the offset from before the change counts (PEP 495).
    at = datetime.combine(on, time.fromisoformat(reset_at), ZoneInfo(timezone))
    return int(at.astimezone(UTC).timestamp()) * 1000
