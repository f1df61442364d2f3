"""Milesight people counters: how many people there are, or how many came in and went out.

Follows https://www.milesight.com/products/docs/en/vs121-p/steps/vs1xx/vs121/vs121-p-communication-protocol.html
for counts of regions. `line_total_data` and `region_data`, which VS125, VS133 and VS135 send, are as
independent receivers read them. Not confirmed on live traffic: how VS121 reports the crossing of lines, and
that its clock is in summer time where `dst_status` says so.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from relay.errors import Unparseable
from relay.events import Event, Ignored, SensorReading, Webhook, read_json
from relay.vendors.support.base import Vendor
from relay.vendors.support.fields import Payload, Text, digest, instant
from relay.vendors.support.fixed_tokens import Basic

_LOCAL_TIME = re.compile(r"(\d{4})/(\d\d)/(\d\d) (\d\d:\d\d:\d\d)", re.ASCII)
_ZONE = re.compile(r"(?:UTC|GMT)(?:([+-])(\d{1,2})(?::(\d\d))?)?(?!\S)", re.ASCII)


class _Device(Payload):
    device_sn: Text


class _Times(Payload):
    """When it was counted: at the end of a period, or at the `time` of what triggered the report."""

    time: str | None = None
    end_time: str | None = None
    timezone: str | None = None
    dst_status: bool | None = None

    def at(self) -> datetime:
        """The instant; raises `Unparseable` for a time that is none, or whose zone is not told."""
        text = (self.end_time or self.time or "").strip()
        local = _LOCAL_TIME.fullmatch(text)
        found = instant(self._with_zone(local)) if local else _zoned(text)
        if found is None:
            raise Unparseable("time_info: no time with a zone")
        # `timezone` is taken for the offset of the standard time, in summer too.
        return found - timedelta(hours=1) if local and self.dst_status else found

    def _with_zone(self, local: re.Match[str]) -> str | None:
        zone = _ZONE.match((self.timezone or "").strip())
        if zone is None:
            return None
        year, month, day, time = local.groups()
        hours, minutes = int(zone[2] or 0), int(zone[3] or 0)
        return f"{year}-{month}-{day}T{time}{zone[1] or '+'}{hours:02}:{minutes:02}"


def _zoned(text: str) -> datetime | None:
    """A time of ISO 8601 that names its zone."""
    # `instant` takes a time without a zone for UTC, which would be hours off.
    return instant(text) if re.search(r"(Z|[+-]\d\d:?\d\d)$", text, re.ASCII) else None


class _LineTotal(Payload):
    in_counted: int
    out_counted: int


class _Line(Payload):
    total: _LineTotal


class _RegionTotal(Payload):
    current_total: int


class _Region(Payload):
    total: _RegionTotal


class _Regions(Payload):
    region_count_data: list[_Region] | None = None


class _Report(Payload):
    """Whose report it is, and when it was counted."""

    device_info: _Device
    time_info: _Times


class _Counts(Payload):
    current_total: int | None = None
    occupancy: list[int] | None = None
    region_data: _Regions | None = None
    region_trigger_data: _Regions | None = None
    line_total_data: list[_Line] | None = None

    def people(self) -> int | None:
        """How many people the device sees, or let in and not out again; None where it counts neither."""
        if self.current_total is not None:
            return self.current_total
        if regions := self._regions():
            return sum(region.total.current_total for region in regions)
        if self.line_total_data:
            inside = sum(line.total.in_counted - line.total.out_counted for line in self.line_total_data)
            # Whoever was missed on the way in makes it negative.
            return max(inside, 0)
        return None

    def _regions(self) -> Sequence[_Region]:
        """The regions that are counted, each by itself."""
        for found in (self.region_data, self.region_trigger_data):
            if found and found.region_count_data:
                return found.region_count_data
        return ()

    def occupied(self, people: int | None) -> bool | None:
        """Whether anybody is there; None where the report says nothing of it."""
        if people is not None:
            return people > 0
        return None if self.occupancy is None else any(self.occupancy)


def parse(webhook: Webhook) -> Sequence[Event]:
    """A report with a count, or with the occupancy of regions, is a reading of its device; else ignored."""
    payload = read_json(webhook.body)
    counts = _Counts.model_validate(payload)
    people = counts.people()
    occupied = counts.occupied(people)
    if occupied is None:
        return [Ignored(reason="other_event")]
    report = _Report.model_validate(payload)
    sensor, at = report.device_info.device_sn, report.time_info.at()
    # A report has no id: what it says of an instant stands for it.
    event_id = digest(sensor, at.isoformat(), people, occupied)
    return [SensorReading(event_id=event_id, at=at, sensor=sensor, people=people, occupied=occupied)]


VENDOR = Vendor(
    name="milesight",
    title="Milesight people counters",
    families=("access-control",),
    docs="https://www.milesight.com/products/docs/en/vs121-p/steps/vs1xx/vs121/vs121-p-communication-protocol.html",
    signature="none: Basic authentication",
    forwards="how many people a device counts, or counted in less those counted out",
    ignores="what passed during a period or just now, dwell times, every other report",
    direction="-",
    confidence="medium",
    scheme=Basic(),
    parse=parse,
    fresh={"time_info.time": "iso", "time_info.end_time": "iso"},
    subjects={"device_info.device_sn": "door"},
)
