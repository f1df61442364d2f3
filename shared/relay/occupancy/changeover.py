"""What a new configuration makes of the days that are open: pure functions, no storage.

People stay where they are when places are renamed, corrected or moved. What leaves the configuration is
reported empty, and its people are in the nearest place around it that remains. `relay.occupancy.moves` says
what that does to positions and counts, `relay.occupancy.relocation` carries it out.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from relay.config.model import Config, FormerClock, Lineage, Place, Sensor, Source, Tree
from relay.occupancy.days import KEPT_SECONDS, Day, operating_day
from relay.occupancy.readings import sensor_name
from relay.occupancy.rules import Position

Watched = Mapping[str, frozenset[str]]
"""The sensors (`<source's key>|<sensor>`) of each place that has any, by its `locationId`."""


@dataclass(frozen=True, slots=True)
class PlaceDay:
    """A place (by `locationId`) in an operating day: what one count is of."""

    day: Day
    place: str


@dataclass(frozen=True, slots=True)
class SensorChange:
    """A place whose sensors changed, by its `locationId` then and now, and those that it keeps."""

    place: str
    place_now: str
    kept: frozenset[str]


@dataclass(frozen=True)
class Changeover:
    """From one configuration to the next, at an instant (Unix milliseconds).

    Both have the lineage of the new one: a site's open day is the same in both. `watched` are the places
    that sensors watch in the old configuration, `watched_now` in the new one.
    """

    old: Config
    new: Config
    at: int
    watched: Watched = field(default_factory=dict)
    watched_now: Watched = field(default_factory=dict)

    @cached_property
    def corrected(self) -> Mapping[str, str]:
        """What became of the `locationId`s that are gone, but whose place has another one now."""
        found: dict[str, str] = {}
        for name, place in self.old.places.items():
            if name not in self.new.places:
                continue
            location, location_now = place.location_id, self.new.places[name].location_id
            # An id that is in both configurations is another place, whatever name it has.
            if self.new.name_of(location) is None and self.old.name_of(location_now) is None:
                found[location] = location_now
        return found

    @cached_property
    def removed(self) -> frozenset[str]:
        """The `locationId`s of the places that are configured no more."""
        ids = (place.location_id for place in self.old.places.values())
        return frozenset(location for location in ids if self.place_now(location) is None)

    def place_now(self, place: str) -> str | None:
        """The `locationId` of a place now; None where it is configured no more."""
        found = self.corrected.get(place, place)
        return None if self.new.name_of(found) is None else found

    def knows(self, path: Iterable[str]) -> bool:
        """Whether the old configuration had all of these places.

        Somebody elsewhere was counted by a configuration between the two, and the changeover from that one
        knows what became of these places.
        """
        return all(self.old.name_of(place) is not None for place in path)

    def path_now(self, path: Sequence[str]) -> tuple[str, ...]:
        """Where somebody is now who was in these places: in the innermost that is left, and around it.

        A place that a sensor watches counts nobody at doors. Of places that it does not know it says nothing.
        """
        if not self.knows(path):
            return tuple(path)
        for place in path:
            found = self.place_now(place)
            if found is not None and found not in self.watched_now:
                return tuple(outer for outer in self.new.around(found) if outer not in self.watched_now)
        return ()

    def moves(self, position: Position) -> bool:
        """Whether somebody's places are others now."""
        return self.path_now(position.path) != position.path

    @property
    def affected_sites(self) -> tuple[str, ...]:
        """The old sites (by `locationId`) in whose open day somebody may have to be moved."""
        return tuple(dict.fromkeys((*self.changed_sites, *self.removed_sites)))

    @property
    def changed_sites(self) -> tuple[str, ...]:
        """The old sites in which some place changed."""
        found: dict[str, None] = {}
        for place in self.old.places.values():
            around = self.old.around(place.location_id)
            if self.path_now(around) != around:
                found[around[-1]] = None
        return tuple(found)

    @property
    def removed_sites(self) -> tuple[str, ...]:
        """The old sites that are none any more: taken away, corrected, or within another one."""
        return tuple(site for site in self.old.site_ids if site not in self.new.site_ids)

    def counted_elsewhere(self, place: str, site: str) -> bool:
        """Whether a place that was counted in the day of a site is counted in another one's now."""
        found = self.place_now(place)
        return found is not None and (found != place or self.new.around(found)[-1] != site)

    def takeovers(self, site: str) -> Mapping[str, PlaceDay]:
        """The places of a site that another day counts now: that day, and which place each is now."""
        if site not in self._takeovers:
            found: dict[str, PlaceDay] = {}
            for place in self.old.locations(site):
                now = self.place_now(place)
                if now is not None and self.counted_elsewhere(place, site):
                    found[place] = PlaceDay(self.day_now(self.new.around(now)[-1]), now)
            self._takeovers[site] = found
        return self._takeovers[site]

    def day_now(self, site: str) -> Day:
        """The day of a site of the new configuration in which the changeover lies."""
        if site not in self._days_now:
            self._days_now[site] = operating_day(self.new, site, self.at)
        return self._days_now[site]

    # Both are asked for once for each person, so what was found for a site is remembered.

    @cached_property
    def _takeovers(self) -> dict[str, Mapping[str, PlaceDay]]:
        return {}

    @cached_property
    def _days_now(self) -> dict[str, Day]:
        return {}

    @property
    def sensor_changes(self) -> Iterator[SensorChange]:
        """Each watched place that has other sensors now, or another `locationId`."""
        for place, before in self.watched.items():
            place_now = self.place_now(place) or place
            kept = before & self.watched_now.get(place_now, frozenset())
            if kept != before or place_now != place:
                yield SensorChange(place, place_now, kept)


def watched_places(config: Config, sensors: Mapping[str, Mapping[str, Sensor]]) -> Watched:
    """The sensors of each place that has any, of those of each source."""
    found: dict[str, set[str]] = {}
    for source, of_source in sensors.items():
        for sensor, where in of_source.items():
            if where.place in config.places:
                place = config.places[where.place].location_id
                found.setdefault(place, set()).add(sensor_name(config.key(source), sensor))
    return {place: frozenset(names) for place, names in found.items()}


def lineage(old: Config, new: Tree, version: int, at: int) -> Lineage:
    """What the new configuration keeps of the old one (at `at`, ms)."""
    renamed = _source_keys(old, new, version)
    configured = {renamed.get(name, name): source.shadow for name, source in new.sources.items()}
    lifted = [key for key in old.shadowed if configured.get(key) is False]
    return Lineage(
        clocks=dict(_clocks(old, new, at)),
        renamed=renamed,
        shadowed=tuple(sorted(old.shadowed.difference(configured))),
        live_since={**_still_live(old, configured, at), **dict.fromkeys(lifted, at)},
        taken=dict(_taken_names(old, new, at)),
    )


def _still_live(old: Config, configured: Mapping[str, bool], at: int) -> dict[str, int]:
    """The sources that are live still, and since when, where the ledger keeps a day of before that."""
    known = old.lineage.live_since
    return {
        key: since
        for key, since in known.items()
        if configured.get(key) is False and since > at - KEPT_SECONDS * 1000
    }


def _taken_names(old: Config, new: Tree, at: int) -> Iterator[tuple[str, dict[str, int]]]:
    """The names that went to places that were there before, with those that had them: while they may wait."""
    for name in dict.fromkeys((*old.lineage.taken, *new.places)):
        before, after = old.places.get(name), new.places.get(name)
        known = old.lineage.taken.get(name, {})
        had_it = {place: until for place, until in known.items() if until > at - KEPT_SECONDS * 1000}
        if after is not None:
            had_it.pop(after.location_id, None)
            # An id that is new is the same place corrected.
            if before and before.location_id != after.location_id and old.name_of(after.location_id):
                had_it[before.location_id] = at
        if had_it:
            yield name, had_it


def _clocks(old: Config, new: Tree, at: int) -> Iterator[tuple[str, tuple[FormerClock, ...]]]:
    """The former clocks of each site that has any, the earliest first."""
    known = {site: _in_use(clocks, at) for site, clocks in old.lineage.clocks.items()}
    for site in dict.fromkeys((*known, *old.site_ids)):
        clocks = known.get(site, ())
        before, after = _place(old, site), _place(new, site)
        if before and after and after.within is None and _clock(before) != _clock(after):
            clocks = _with_former_clock(old, new, site, clocks, at)
        if clocks:
            yield site, clocks


def _in_use(clocks: Iterable[FormerClock], at: int) -> tuple[FormerClock, ...]:
    """The clocks of which the ledger still keeps a day."""
    return tuple(clock for clock in clocks if clock.until > at - KEPT_SECONDS * 1000)


def _place(tree: Tree, location: str) -> Place | None:
    name = tree.name_of(location)
    return None if name is None else tree.places[name]


def _clock(place: Place) -> tuple[str, str]:
    return place.timezone, place.reset_at


def _with_former_clock(
    old: Config, new: Tree, site: str, clocks: tuple[FormerClock, ...], at: int
) -> tuple[FormerClock, ...]:
    """The former clocks of a site whose clock is changed: its open day goes on to the new one's reset."""
    day = operating_day(old, site, at)
    # Without the lineage, in which the open day would end as before.
    until = operating_day(Config(sources=new.sources, places=new.places), site, at).end
    earlier = tuple(clock for clock in clocks if clock.since < day.start)
    # A clock that never began a day leaves no trace: the open day is still an earlier clock's.
    same = next((clock for clock in clocks if clock.since == day.start), None)
    if same is None:
        before = old.places[old.name_of(site) or ""]
        same = FormerClock(timezone=before.timezone, reset_at=before.reset_at, since=day.start, until=day.end)
    return (*earlier, same.model_copy(update={"until": until}))


def _source_keys(old: Config, new: Tree, version: int) -> dict[str, str]:
    """The key of each source that is not its name: a renamed one keeps the key that it had."""
    keys = {name: key for name, key in old.lineage.renamed.items() if name in new.sources}
    former_names = dict(_renamed_sources(old, new))
    in_use = {old.key(name) for name in old.sources if name in new.sources}
    in_use |= {old.key(name) for name in former_names.values()}
    for name in new.sources:
        if name in former_names:
            keys[name] = old.key(former_names[name])
        elif name not in old.sources and name in in_use:
            # Another source has this name as its key: under the name they would share leave and badges.
            # No source's name may have a `~`, so that nobody else has the new key.
            keys[name] = f"{name}~{version}"
    return {name: key for name, key in keys.items() if name != key}


def _renamed_sources(old: Tree, new: Tree) -> Iterator[tuple[str, str]]:
    """Each new source that is an old one renamed, and the old name.

    It is the only one of its vendor to come, as the old one is the only one to go.
    """
    removed = _by_vendor({name: source for name, source in old.sources.items() if name not in new.sources})
    added = _by_vendor({name: source for name, source in new.sources.items() if name not in old.sources})
    for vendor, names in added.items():
        former_names = removed.get(vendor, ())
        if len(names) == 1 and len(former_names) == 1:
            yield names[0], former_names[0]


def _by_vendor(sources: Mapping[str, Source]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, source in sources.items():
        found.setdefault(source.vendor, []).append(name)
    return found
