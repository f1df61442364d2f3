"""Sources, places, doors and sensors: what an operator writes into `relay.yaml`."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from relay.events import Direction

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
    time_off_types: dict[str, TimeOffType] = Field(default={}, alias="timeOffTypes")
    silent_after_hours: Annotated[int, Field(ge=0)] = Field(default=72, alias="silentAfterHours")
    security_actions: tuple[int, ...] = Field(default=(), alias="securityActions")

    def time_off_type(self, name: str | None) -> TimeOffType:
        """Calven's type for the vendor's type name, without regard to case; `leave` where none matches."""
        known = {key.casefold(): value for key, value in self.time_off_types.items()}
        return known.get((name or "").casefold(), "leave")


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


class RelayYaml(Config):
    """The whole of `relay.yaml`: the configuration with the doors and sensors of each source."""

    doors: dict[SourceName, dict[str, Door]] = {}
    sensors: dict[SourceName, dict[str, Sensor]] = {}

    def config(self) -> Config:
        """The part that is held in memory."""
        return Config(sources=self.sources, places=self.places)


Problem = tuple[tuple[str, ...], str]
"""Where in `relay.yaml` (keys from the top), and what is wrong there."""


def problems(relay: RelayYaml, families: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    """What a valid shape can still get wrong. `families` maps each known vendor to its families."""
    for name, source in relay.sources.items():
        if source.vendor not in families:
            yield ("sources", name, "vendor"), f"unknown vendor {source.vendor!r}"
    yield from _tree_problems(relay)
    for section, entries in (("doors", relay.doors), ("sensors", relay.sensors)):
        for source_name, of_source in entries.items():
            known = relay.sources.get(source_name)
            if known is None:
                yield (section, source_name), f"unknown source {source_name!r}"
            elif families.get(known.vendor) == ("hris",):
                yield (section, source_name), f"{source_name!r} is an HR system: it has no {section}"
            for entry, where in of_source.items():
                if where.place not in relay.places:
                    yield (section, source_name, entry, "place"), f"unknown place {where.place!r}"
    yield from _feed_problems(relay)


def _tree_problems(relay: RelayYaml) -> Iterator[Problem]:
    locations: dict[str, str] = {}
    for name, place in relay.places.items():
        if place.within is not None and place.within not in relay.places:
            yield ("places", name, "within"), f"unknown place {place.within!r}"
        elif _in_cycle(relay, name):
            yield ("places", name, "within"), f"{name!r} is within itself"
        elif place.within is not None and {"timezone", "reset_at"} & place.model_fields_set:
            yield from _differs_from_site(relay, name, place)
        if place.location_id in locations:
            other = locations[place.location_id]
            yield ("places", name, "locationId"), f"duplicate locationId, {other!r} has it too"
        locations.setdefault(place.location_id, name)


def _in_cycle(relay: RelayYaml, name: str) -> bool:
    """Whether following `within` from a place leads back to it."""
    seen: set[str] = set()
    at = relay.places[name].within
    while at is not None and at in relay.places and at not in seen:
        if at == name:
            return True
        seen.add(at)
        at = relay.places[at].within
    return False


def _differs_from_site(relay: RelayYaml, name: str, place: Place) -> Iterator[Problem]:
    site = relay.places[relay.site(name)]
    for key, field in (("timezone", "timezone"), ("resetAt", "reset_at")):
        if field in place.model_fields_set and getattr(place, field) != getattr(site, field):
            yield ("places", name, key), f"{key} belongs to the site, and differs from it here"


def _feed_problems(relay: RelayYaml) -> Iterator[Problem]:
    by_doors = {
        place for doors in relay.doors.values() for door in doors.values() for place in relay.path(door.place)
    }
    for source, sensors in relay.sensors.items():
        for entry, sensor in sensors.items():
            if sensor.place in by_doors:
                yield ("sensors", source, entry, "place"), f"{sensor.place!r} is fed by doors already"
