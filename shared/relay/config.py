"""Sources, places, doors and sensors, as the functions hold them."""

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from relay.events import Counting, Direction

TimeOffType = Literal["holiday", "leave", "sick"]
LocationType = Literal["level", "location", "place", "space", "zone"]
SourceName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
PlaceName = Annotated[str, StringConstraints(pattern=r"^[^#/|\s][^#/|]{0,63}$")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(_Model):
    """One system of the customer's that sends webhooks, at one URL with one secret."""

    vendor: str
    calven_source_id: str | None = Field(default=None, alias="calvenSourceId", min_length=1)
    unmapped_doors: Literal["dead-letter", "ignore"] = Field(default="dead-letter", alias="unmappedDoors")
    enabled: bool = True
    part_days: Literal["skip", "whole"] = Field(default="skip", alias="partDays")
    whole_day_hours: Annotated[float, Field(gt=0, le=24)] = Field(default=6, alias="wholeDayHours")
    time_off_types: dict[str, TimeOffType] = Field(default={}, alias="timeOffTypes")
    silent_after_hours: Annotated[int, Field(ge=0)] = Field(default=72, alias="silentAfterHours")
    security_actions: tuple[int, ...] = Field(default=(), alias="securityActions")
    remote_unlocks: Literal["ignore", "count"] = Field(default="ignore", alias="remoteUnlocks")

    @property
    def counting(self) -> Counting:
        """Which events count, as a vendor's parser takes it."""
        return Counting(self.security_actions, remote_unlocks=self.remote_unlocks == "count")

    def time_off_type(self, name: str | None) -> TimeOffType:
        """Calven's type for the vendor's type name, whatever its case and the blanks around it.

        It is `leave` where none matches.
        """
        known = {_plain(key): value for key, value in self.time_off_types.items()}
        return known.get(_plain(name or ""), "leave")


class Place(_Model):
    """A place that Calven knows. One without `within` is a site: it has the time zone and the reset hour."""

    location_id: str = Field(alias="locationId", min_length=1)
    location_type: LocationType = Field(alias="locationType")
    timezone: str = "UTC"
    reset_at: Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = Field(
        default="04:00", alias="resetAt"
    )
    within: str | None = None

    @field_validator("timezone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (OSError, ValueError, KeyError):
            raise ValueError("not a time zone of the IANA database, such as Australia/Sydney") from None
        return name


class Door(_Model):
    """A door, and the place that a badge at it leads in to or out of."""

    place: str
    direction: Direction = "in"
    name: str | None = None


class Sensor(_Model):
    """An occupancy sensor, and the place that it watches."""

    place: str


class Config(_Model):
    """Sources and places: what every function holds in memory."""

    sources: dict[SourceName, Source] = {}
    places: dict[PlaceName, Place] = {}

    def path(self, place: str | None) -> tuple[str, ...]:
        """A place and every place that contains it, from the inside out; empty for outside."""
        return tuple(self._path(place))

    def _path(self, place: str | None) -> Iterator[str]:
        seen: set[str] = set()
        while place is not None and place in self.places and place not in seen:
            seen.add(place)
            yield place
            place = self.places[place].within

    def site(self, place: str) -> str:
        """The outermost place that contains this one."""
        return self.path(place)[-1]

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """Every place that is within no other."""
        return tuple(name for name, place in self.places.items() if place.within is None)

    def calven_source_id(self, source: str) -> str:
        """What Calven's audit log shall call a source; its name where nothing is configured."""
        found = self.sources.get(source)
        return (found and found.calven_source_id) or source


def _plain(name: str) -> str:
    return name.strip().casefold()
