"""`relay.yaml`, whole, as an operator writes it, and what can be wrong in it. Functions hold a part of it."""

import difflib
from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from pydantic import Field

from relay.config.model import Config, Door, Place, Sensor, Source, SourceName, Tree, plain
from relay.events import MOST_ID_CHARACTERS
from relay.vendors.support.base import Vendor


class RelayYaml(Tree):
    """The whole of `relay.yaml`: the configuration with the doors and sensors of each source."""

    doors: dict[SourceName, dict[str, Door]] = Field(default={})
    sensors: dict[SourceName, dict[str, Sensor]] = Field(default={})

    def config(self) -> Config:
        """The part that is held in memory."""
        return Config(
            sources=self.sources,
            places=self.places,
            forwardMode=self.forward_mode,
            metricsBySource=self.metrics_by_source,
        )


TO_FILL_IN = "?"
"""What `config suggest` writes where somebody has to say more."""
MOST_LEVELS = 20
"""A badge changes the counts of two paths in one transaction, which takes a hundred items."""


class Problem(NamedTuple):
    """Where in `relay.yaml` (keys from the top), what is wrong there, and where the same stands before."""

    where: tuple[str, ...]
    what: str
    first: tuple[str, ...] | None = None


NEIGHBOURS = 40
"""How many names on each side a wrong word is compared with, in order of beginnings and in order of ends."""
MOST_GUESSES = 1000
"""For how many wrong words it is looked up what they may have meant: nobody reads more of them."""


class Names:
    """Names that there are, however many, and which of them a wrong word may have meant."""

    def __init__(self, names: Iterable[str]) -> None:
        self._by_lower = {name.lower(): name for name in names}
        self._by_beginning = sorted(self._by_lower)
        self._by_end = sorted(name[::-1] for name in self._by_lower)
        self._guessed: dict[str, str] = {}

    def did_you_mean(self, word: str) -> str:
        """What a wrong word may have meant, as the end of a sentence; empty where nothing is near."""
        if word not in self._guessed:
            if len(self._guessed) == MOST_GUESSES:
                return ""
            self._guessed[word] = self._guess(word.lower())
        return self._guessed[word]

    def _guess(self, word: str) -> str:
        # Whoever mistypes a name gets its beginning right, or its end: no other names need a closer look.
        candidates = {*_around(self._by_beginning, word)}
        candidates |= {name[::-1] for name in _around(self._by_end, word[::-1])}
        near = difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)
        return f": did you mean {self._by_lower[near[0]]!r}?" if near else ""


def problems(relay: RelayYaml, vendors: Mapping[str, Vendor]) -> Iterator[Problem]:
    """What a valid shape can still get wrong, with the vendors that there are."""
    for name, source in relay.sources.items():
        yield from _source_problems(name, source, vendors.get(source.vendor), vendors)
    places = Names(relay.places)
    yield from _tree_problems(relay, places)
    for section, entries in (("doors", relay.doors), ("sensors", relay.sensors)):
        for source_name, of_source in entries.items():
            known = relay.sources.get(source_name)
            if known is None:
                meant = did_you_mean(source_name, relay.sources)
                yield Problem((section, source_name), f"unknown source {source_name!r}{meant}")
            # The generic vendor is of both families, so that it may have doors.
            elif known.vendor in vendors and vendors[known.vendor].families == ("hris",):
                yield Problem((section, source_name), f"{source_name!r} is an HR system: it has no {section}")
            for entry, where in of_source.items():
                if not entry.strip():
                    yield Problem((section, source_name, entry), "an id is not empty")
                if len(entry) > MOST_ID_CHARACTERS:
                    limit = f"an id has {MOST_ID_CHARACTERS} characters at most"
                    yield Problem((section, source_name, entry), limit)
                if where.place not in relay.places:
                    yield Problem((section, source_name, entry, "place"), _unknown_place(where.place, places))
    yield from _feed_problems(relay)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """What a wrong word may have meant of a few, as the end of a sentence; empty where nothing is near."""
    return Names(known).did_you_mean(word)


@cache
def zones() -> frozenset[str]:
    """The time zones that the functions can load: those of the packaged tzdata, exactly as it spells them."""
    return frozenset((files("tzdata") / "zones").read_text("utf-8").split())


def meant_zone(word: str) -> str:
    """What a time zone that there is not may have meant, as the end of a sentence."""
    # An operating system's database has these two folders; the packaged one has not.
    return _zone_names().did_you_mean(word.removeprefix("posix/").removeprefix("right/"))


def with_outer(relay: RelayYaml, inner: Iterable[str]) -> set[str]:
    """Places, and every place that contains one of them."""
    found: set[str] = set()
    for place in inner:
        at: str | None = place
        while at is not None and at in relay.places and at not in found:
            found.add(at)
            at = relay.places[at].within
    return found


@cache
def _zone_names() -> Names:
    return Names(zones())


def _around(ordered: list[str], word: str) -> list[str]:
    """The names next to where a word would stand."""
    at = bisect(ordered, word)
    return ordered[max(0, at - NEIGHBOURS) : at + NEIGHBOURS]


def _source_problems(
    name: str, source: Source, vendor: Vendor | None, known: Iterable[str]
) -> Iterator[Problem]:
    if vendor is None:
        meant = did_you_mean(source.vendor, known)
        yield Problem(("sources", name, "vendor"), f"unknown vendor {source.vendor!r}{meant}")
        return
    fields = type(source).model_fields
    # Defaults are there for every vendor: only what somebody wrote can be a mistake.
    given = [fields[field].alias or field for field in fields if field in source.model_fields_set]
    for key in given:
        if key not in vendor.keys:
            yield Problem(("sources", name, key), f"{key} does nothing for {vendor.title}")
    if source.reconcile and vendor.lists is None:
        yield Problem(("sources", name, "reconcile"), f"{vendor.title} cannot be asked what happened")
    if source.reconcile == "off" and not vendor.sends_webhooks:
        yield Problem(("sources", name, "reconcile"), f"{vendor.title} sends no webhooks: it has to be asked")
    yield from _same_types(name, source)


def _same_types(name: str, source: Source) -> Iterator[Problem]:
    """The names of types that are one name to the functions, of which the last would count."""
    first: dict[str, str] = {}
    for written in source.time_off_types:
        before = first.setdefault(plain(written), written)
        if before != written:
            at = ("sources", name, "timeOffTypes")
            what = f"{written!r} is the same type as {before!r}, whatever its case and the blanks around it"
            yield Problem((*at, written), what, (*at, before))


def _unknown_place(name: str, places: Names) -> str:
    if name == TO_FILL_IN:
        return f"unknown place {name!r}: fill in one of `places`"
    return f"unknown place {name!r}{places.did_you_mean(name)}"


def _tree_problems(relay: RelayYaml, places: Names) -> Iterator[Problem]:
    locations: dict[str, str] = {}
    in_cycles = _in_cycles(relay)
    for name, place in relay.places.items():
        if place.within is not None and place.within not in relay.places:
            yield Problem(("places", name, "within"), _unknown_place(place.within, places))
        elif name in in_cycles:
            yield Problem(("places", name, "within"), f"{name!r} is within itself")
        elif _too_deep(relay, name, in_cycles):
            yield Problem(("places", name, "within"), f"{name!r} is more than {MOST_LEVELS} levels deep")
        elif place.within is not None and {"timezone", "reset_at"} & place.model_fields_set:
            yield from _differs_from_site(relay, name, place)
        if place.timezone not in zones():
            meant = meant_zone(place.timezone)
            yield Problem(("places", name, "timezone"), f"unknown time zone {place.timezone!r}{meant}")
        if place.location_id != place.location_id.strip():
            yield Problem(("places", name, "locationId"), "Calven's ids have no blanks around them")
        if place.location_id in locations:
            other = locations[place.location_id]
            yield Problem(
                ("places", name, "locationId"),
                f"duplicate locationId, {other!r} has it too",
                ("places", other, "locationId"),
            )
        locations.setdefault(place.location_id, name)


def _in_cycles(relay: RelayYaml) -> set[str]:
    """The places to which following `within` leads back."""
    found: set[str] = set()
    seen: set[str] = set()
    for name in relay.places:
        # What was walked before leads into no new cycle, so that a long chain is walked once.
        trail: dict[str, int] = {}
        at: str | None = name
        while at is not None and at in relay.places and at not in seen:
            seen.add(at)
            trail[at] = len(trail)
            at = relay.places[at].within
        if at in trail:
            found |= set(list(trail)[trail[at] :])
    return found


def _too_deep(relay: RelayYaml, name: str, in_cycles: set[str]) -> bool:
    """Whether a place has too many around it; those that lie in a cycle are another problem."""
    at: str | None = name
    for _ in range(MOST_LEVELS):
        at = relay.places[at].within if at in relay.places else None
        if at is None or at not in relay.places or at in in_cycles:
            return False
    return True


def _differs_from_site(relay: RelayYaml, name: str, place: Place) -> Iterator[Problem]:
    site = relay.places[relay.site(name)]
    for key, field in (("timezone", "timezone"), ("resetAt", "reset_at")):
        if field in place.model_fields_set and getattr(place, field) != getattr(site, field):
            yield Problem(("places", name, key), f"{key} belongs to the site, and differs from it here")


def _feed_problems(relay: RelayYaml) -> Iterator[Problem]:
    by_doors = with_outer(relay, (door.place for doors in relay.doors.values() for door in doors.values()))
    for source, sensors in relay.sensors.items():
        for entry, sensor in sensors.items():
            # Two ways to count the people of one place would contradict each other.
            if sensor.place in by_doors:
                yield Problem(
                    ("sensors", source, entry, "place"), f"{sensor.place!r} is fed by doors already"
                )
