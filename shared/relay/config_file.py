"""`relay.yaml`, whole, as an operator writes it, and what can be wrong in it. Functions hold a part of it."""

from collections.abc import Iterator, Mapping

from pydantic import Field

from relay.config import Config, Door, Place, Sensor, Source, SourceName
from relay.vendors.base import Vendor


class RelayYaml(Config):
    """The whole of `relay.yaml`: the configuration with the doors and sensors of each source."""

    doors: dict[SourceName, dict[str, Door]] = Field(default={})
    sensors: dict[SourceName, dict[str, Sensor]] = Field(default={})

    def config(self) -> Config:
        """The part that is held in memory."""
        return Config(sources=self.sources, places=self.places)


Problem = tuple[tuple[str, ...], str]
"""Where in `relay.yaml` (keys from the top), and what is wrong there."""


def problems(relay: RelayYaml, vendors: Mapping[str, Vendor]) -> Iterator[Problem]:
    """What a valid shape can still get wrong, with the vendors that there are."""
    for name, source in relay.sources.items():
        yield from _source_problems(name, source, vendors.get(source.vendor))
    yield from _tree_problems(relay)
    for section, entries in (("doors", relay.doors), ("sensors", relay.sensors)):
        for source_name, of_source in entries.items():
            known = relay.sources.get(source_name)
            if known is None:
                yield (section, source_name), f"unknown source {source_name!r}"
            elif known.vendor in vendors and vendors[known.vendor].families == ("hris",):
                yield (section, source_name), f"{source_name!r} is an HR system: it has no {section}"
            for entry, where in of_source.items():
                if where.place not in relay.places:
                    yield (section, source_name, entry, "place"), f"unknown place {where.place!r}"
    yield from _feed_problems(relay)


def _source_problems(name: str, source: Source, vendor: Vendor | None) -> Iterator[Problem]:
    if vendor is None:
        yield ("sources", name, "vendor"), f"unknown vendor {source.vendor!r}"
        return
    fields = type(source).model_fields
    given = [fields[field].alias or field for field in fields if field in source.model_fields_set]
    for key in given:
        if key not in vendor.keys:
            yield ("sources", name, key), f"{key} does nothing for {vendor.title}"


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
