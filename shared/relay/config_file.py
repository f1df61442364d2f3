"""`relay.yaml`, whole, as an operator writes it, and what can be wrong in it. Functions hold a part of it."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files

from pydantic import Field

from relay.config import Config, Door, Place, Sensor, Source, SourceName, Tree
from relay.vendors.base import Vendor


class RelayYaml(Tree):
    """The whole of `relay.yaml`: the configuration with the doors and sensors of each source."""

    doors: dict[SourceName, dict[str, Door]] = Field(default={})
    sensors: dict[SourceName, dict[str, Sensor]] = Field(default={})

    def config(self) -> Config:
        """The part that is held in memory."""
        return Config(sources=self.sources, places=self.places)


MOST_LEVELS = 20
"""A badge changes the counts of two paths in one transaction, which takes a hundred items."""
Problem = tuple[tuple[str, ...], str]
"""Where in `relay.yaml` (keys from the top), and what is wrong there."""


def problems(relay: RelayYaml, vendors: Mapping[str, Vendor]) -> Iterator[Problem]:
    """What a valid shape can still get wrong, with the vendors that there are."""
    for name, source in relay.sources.items():
        yield from _source_problems(name, source, vendors.get(source.vendor), vendors)
    yield from _tree_problems(relay)
    for section, entries in (("doors", relay.doors), ("sensors", relay.sensors)):
        for source_name, of_source in entries.items():
            known = relay.sources.get(source_name)
            if known is None:
                meant = did_you_mean(source_name, relay.sources)
                yield (section, source_name), f"unknown source {source_name!r}{meant}"
            elif known.vendor in vendors and vendors[known.vendor].families == ("hris",):
                yield (section, source_name), f"{source_name!r} is an HR system: it has no {section}"
            for entry, where in of_source.items():
                if where.place not in relay.places:
                    meant = did_you_mean(where.place, relay.places)
                    yield (section, source_name, entry, "place"), f"unknown place {where.place!r}{meant}"
    yield from _feed_problems(relay)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """What an unknown word may have meant, as the end of a sentence; empty where nothing is near."""
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f": did you mean {by_lower[near[0]]!r}?" if near else ""


@cache
def zones() -> frozenset[str]:
    """The time zones that the functions can load: those of the packaged tzdata, exactly as it spells them."""
    return frozenset((files("tzdata") / "zones").read_text("utf-8").split())


def _source_problems(
    name: str, source: Source, vendor: Vendor | None, known: Iterable[str]
) -> Iterator[Problem]:
    if vendor is None:
        meant = did_you_mean(source.vendor, known)
        yield ("sources", name, "vendor"), f"unknown vendor {source.vendor!r}{meant}"
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
            meant = did_you_mean(place.within, relay.places)
            yield ("places", name, "within"), f"unknown place {place.within!r}{meant}"
        elif _in_cycle(relay, name):
            yield ("places", name, "within"), f"{name!r} is within itself"
        elif len(relay.path(name)) > MOST_LEVELS:
            yield ("places", name, "within"), f"{name!r} is more than {MOST_LEVELS} levels deep"
        elif place.within is not None and {"timezone", "reset_at"} & place.model_fields_set:
            yield from _differs_from_site(relay, name, place)
        if place.timezone not in zones():
            meant = did_you_mean(place.timezone.removeprefix("posix/").removeprefix("right/"), zones())
            yield ("places", name, "timezone"), f"unknown time zone {place.timezone!r}{meant}"
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
