"""Sources, places, doors and sensors, as the functions hold them."""

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from relay.events import Counting, Direction

TimeOffType = Literal["holiday", "leave", "sick"]
ForwardMode = Literal["direct", "queued"]
Interval = Literal["off", "15m", "1h", "1d"]
LocationType = Literal["level", "location", "place", "space", "zone"]
# It is a segment of the URL, and of the secret's name.
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
    shadow: bool = False
    """Recorded like any other, and nothing of it is sent to Calven."""
    part_days: Literal["skip", "whole"] = Field(default="skip", alias="partDays")
    # Six hours tell an afternoon off from a short working day.
    whole_day_hours: Annotated[float, Field(gt=0, le=24)] = Field(default=6, alias="wholeDayHours")
    time_off_types: dict[str, TimeOffType] = Field(default={}, alias="timeOffTypes")
    silent_after_hours: Annotated[int, Field(ge=0)] = Field(default=72, alias="silentAfterHours")
    security_actions: tuple[int, ...] = Field(default=(), alias="securityActions")
    remote_unlocks: Literal["ignore", "count"] = Field(default="ignore", alias="remoteUnlocks")
    forward_mode: ForwardMode | None = Field(default=None, alias="forwardMode")
    reconcile: Interval | None = None

    @property
    def counting(self) -> Counting:
        """Which events count, as a vendor's parser takes it."""
        return Counting(self.security_actions, remote_unlocks=self.remote_unlocks == "count")

    def time_off_type(self, name: str | None) -> TimeOffType:
        """Calven's type for the vendor's type name, whatever its case and the blanks around it.

        It is `leave` where none matches.
        """
        return self._types.get(plain(name or ""), "leave")

    def maps(self, name: str) -> bool:
        """Whether `timeOffTypes` says what the vendor's type name is at Calven."""
        return plain(name) in self._types

    @property
    def _types(self) -> dict[str, TimeOffType]:
        return {plain(key): value for key, value in self.time_off_types.items()}


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
        # A folder of the database, such as `America`, is an OSError; `../x` a ValueError.
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


class FormerClock(_Model):
    """The time zone and reset hour that a site had before they were changed.

    Its last operating day began at `since` and ends at `until` (Unix milliseconds), the next reset of what
    the configuration says instead.
    """

    timezone: str
    reset_at: str
    since: int
    until: int


class Lineage(_Model):
    """What the configuration in force keeps of those before it, so that the ledger's items are found.

    `clocks` are the former clocks of a site by its `locationId`, the earliest first. `renamed` maps a source
    to the name under which the ledger knows it, where that is another one. `shadowed` are the keys of the
    sources that were removed while they were shadowed. `live_since` says of a source, by its key, when its
    shadow was taken away (Unix milliseconds). `taken` says of the name of a place which other places, by
    their `locationId`, had it until when (ms), where one took it that was configured beside them.
    """

    # A later version's push may keep more: what these functions know of it holds all the same.
    model_config = ConfigDict(extra="ignore")

    clocks: dict[str, tuple[FormerClock, ...]] = {}
    renamed: dict[str, str] = {}
    shadowed: tuple[str, ...] = ()
    live_since: dict[str, int] = {}
    taken: dict[str, dict[str, int]] = {}


class Tree(_Model):
    """Sources and places."""

    sources: dict[SourceName, Source] = {}
    places: dict[PlaceName, Place] = {}
    forward_mode: ForwardMode | None = Field(default=None, alias="forwardMode")
    """Of all sources that have none of their own; None leaves it to the stack."""
    metrics_by_source: bool = Field(default=True, alias="metricsBySource")
    """Whether each source has figures of its own, beside those over all sources that alarms look at."""

    def path(self, place: str | None) -> tuple[str, ...]:
        """A place and every place that contains it, from the inside out; empty for outside."""
        return tuple(self._path(place))

    def _path(self, place: str | None) -> Iterator[str]:
        # In a file that is still to be checked, a place may be within itself.
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

    @cached_property
    def _names(self) -> dict[str, str]:
        return {place.location_id: name for name, place in self.places.items()}

    def name_of(self, location: str) -> str | None:
        """The name of the place that has a `locationId`; None where none has it."""
        return self._names.get(location)

    def around(self, location: str | None) -> tuple[str, ...]:
        """`path` in terms of `locationId`s, by which the ledger knows places."""
        name = self._names.get(location) if location is not None else None
        return tuple(self.places[outer].location_id for outer in self.path(name))

    def locations(self, site: str) -> tuple[str, ...]:
        """The `locationId` of a site and of every place within it."""
        return self._by_site.get(site, ())

    @cached_property
    def _by_site(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {}
        for place in self.places.values():
            found.setdefault(self.around(place.location_id)[-1], []).append(place.location_id)
        return {site: tuple(locations) for site, locations in found.items()}

    @cached_property
    def site_ids(self) -> tuple[str, ...]:
        """The `locationId` of every site."""
        return tuple(self.places[name].location_id for name in self.sites)


class Config(Tree):
    """The configuration in force: what every function holds in memory."""

    lineage: Lineage = Lineage()

    def key(self, source: str) -> str:
        """The name under which the ledger knows a source, by a name that it has or had."""
        name = self.called(source)
        return self.lineage.renamed.get(name, name)

    def named(self, key: str) -> str:
        """What a source is called now, by its key in the ledger; the key where it is not configured."""
        return next((name for name in self.sources if self.key(name) == key), key)

    def called(self, source: str) -> str:
        """What a source is called now, by that name or by one that it had before."""
        return source if source in self.sources else self.named(source)

    @property
    def shadowed(self) -> frozenset[str]:
        """The keys of the sources of which nothing is sent to Calven, also of those removed like that."""
        configured = {self.key(name) for name, source in self.sources.items() if source.shadow}
        return frozenset(configured.union(self.lineage.shadowed))

    def is_shadowed(self, source: str) -> bool:
        """Whether nothing of a source (by a name that it has or had) is sent to Calven."""
        return self.key(source) in self.shadowed

    def calven_source_id(self, source: str) -> str:
        """What Calven's audit log shall call a source; its name where nothing is configured."""
        name = self.called(source)
        found = self.sources.get(name)
        return (found and found.calven_source_id) or name


def plain(name: str) -> str:
    """What spellings of one type's name have in common."""
    return name.strip().casefold()
