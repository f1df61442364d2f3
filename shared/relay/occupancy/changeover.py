"""What a new configuration makes of the days that are open: pure functions, no storage.

People stay where they are when places are renamed, corrected or moved. What leaves the configuration is told
empty, and its people are in the nearest place around it that remains. `relay.occupancy.relocation` carries
that out.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from relay.config.model import Config, FormerClock, Lineage, Place, Source, Tree
from relay.occupancy.days import KEPT_SECONDS, Day, operating_day
from relay.occupancy.rules import Position

Watched = Mapping[str, frozenset[str]]
"""The sensors (`<source's key>|<sensor>`) of each place that has any, by its `locationId`."""


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
        return {
            place.location_id: self.new.places[name].location_id
            for name, place in self.old.places.items()
            if name in self.new.places
            and self.new.name_of(place.location_id) is None
            and self.old.name_of(self.new.places[name].location_id) is None
        }

    def now(self, place: str) -> str | None:
        """The `locationId` of a place now; None where it is configured no more."""
        found = self.corrected.get(place, place)
        return None if self.new.name_of(found) is None else found

    def path(self, path: Sequence[str]) -> tuple[str, ...]:
        """Where somebody is now who was in these places: in the innermost that is left, and around it.

        A place that a sensor watches counts nobody at doors.
        """
        for place in path:
            found = self.now(place)
            if found is not None and found not in self.watched_now:
                return tuple(outer for outer in self.new.around(found) if outer not in self.watched_now)
        return ()

    def moves(self, position: Position) -> bool:
        """Whether somebody's places are others now."""
        return self.path(position.path) != position.path

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """The old sites (by `locationId`) in which some place changed."""
        found: dict[str, None] = {}
        for place in self.old.places.values():
            around = self.old.around(place.location_id)
            if self.path(around) != around:
                found[around[-1]] = None
        return tuple(found)

    @property
    def gone(self) -> tuple[str, ...]:
        """The old sites that are none any more: taken away, corrected, or within another one."""
        return tuple(site for site in self.old.site_ids if site not in self.new.site_ids)

    @property
    def concerned(self) -> tuple[str, ...]:
        """The old sites in whose open day somebody may have to be moved."""
        return tuple(dict.fromkeys((*self.sites, *self.gone)))

    def elsewhere(self, place: str, site: str) -> bool:
        """Whether a place that was counted in the day of a site is counted in another one's now."""
        found = self.now(place)
        return found is not None and (found != place or self.new.around(found)[-1] != site)

    def handed(self, site: str) -> Mapping[str, tuple[Day, str]]:
        """The places of a site that another day counts now: that day, and which place each is now."""
        if site not in self._handed:
            found: dict[str, tuple[Day, str]] = {}
            for place in self.old.locations(site):
                now = self.now(place)
                if now is not None and self.elsewhere(place, site):
                    found[place] = self.day_now(self.new.around(now)[-1]), now
            self._handed[site] = found
        return self._handed[site]

    def day_now(self, site: str) -> Day:
        """The day of a site of the new configuration in which the changeover lies."""
        if site not in self._days:
            self._days[site] = operating_day(self.new, site, self.at)
        return self._days[site]

    @cached_property
    def _handed(self) -> dict[str, Mapping[str, tuple[Day, str]]]:
        return {}

    @cached_property
    def _days(self) -> dict[str, Day]:
        return {}

    @property
    def rewatched(self) -> Iterator[tuple[str, str, frozenset[str]]]:
        """Each place whose sensors changed, by its `locationId` then and now, and those that it keeps."""
        for place, before in self.watched.items():
            to = self.now(place) or place
            left = before & self.watched_now.get(to, frozenset())
            if left != before or to != place:
                yield place, to, left


def lineage(old: Config, new: Tree, version: int, at: int) -> Lineage:
    """What the new configuration keeps of the old one (at `at`, ms)."""
    return Lineage(clocks=dict(_clocks(old, new, at)), renamed=_renamed(old, new, version))


def _clocks(old: Config, new: Tree, at: int) -> Iterator[tuple[str, tuple[FormerClock, ...]]]:
    known = {site: _kept(clocks, at) for site, clocks in old.lineage.clocks.items()}
    for site in dict.fromkeys((*known, *old.site_ids)):
        clocks = known.get(site, ())
        before, after = _place(old, site), _place(new, site)
        if before and after and after.within is None and _clock(before) != _clock(after):
            clocks = _stopped(old, new, site, clocks, at)
        if clocks:
            yield site, clocks


def _kept(clocks: Iterable[FormerClock], at: int) -> tuple[FormerClock, ...]:
    return tuple(clock for clock in clocks if clock.until > at - KEPT_SECONDS * 1000)


def _place(tree: Tree, location: str) -> Place | None:
    name = tree.name_of(location)
    return None if name is None else tree.places[name]


def _clock(place: Place) -> tuple[str, str]:
    return place.timezone, place.reset_at


def _stopped(
    old: Config, new: Tree, site: str, clocks: tuple[FormerClock, ...], at: int
) -> tuple[FormerClock, ...]:
    """The former clocks of a site whose clock is changed: its open day goes on to the new one's reset."""
    day = operating_day(old, site, at)
    until = operating_day(Config(sources=new.sources, places=new.places), site, at).end
    earlier = tuple(clock for clock in clocks if clock.since < day.start)
    # A clock that never began a day leaves no trace: the open day is still an earlier clock's.
    same = next((clock for clock in clocks if clock.since == day.start), None)
    if same is None:
        before = old.places[old.name_of(site) or ""]
        same = FormerClock(timezone=before.timezone, reset_at=before.reset_at, since=day.start, until=day.end)
    return (*earlier, same.model_copy(update={"until": until}))


def _renamed(old: Config, new: Tree, version: int) -> dict[str, str]:
    """The key of each source that is not its name: a renamed one keeps the key that it had."""
    renamed = {name: key for name, key in old.lineage.renamed.items() if name in new.sources}
    pairs = dict(_pairs(old, new))
    taken = {old.key(name) for name in old.sources if name in new.sources} | set(map(old.key, pairs.values()))
    for name in new.sources:
        if name in pairs:
            renamed[name] = old.key(pairs[name])
        elif name not in old.sources and name in taken:
            renamed[name] = f"{name}~{version}"
    return {name: key for name, key in renamed.items() if name != key}


def _pairs(old: Tree, new: Tree) -> Iterator[tuple[str, str]]:
    """Each new source that is an old one renamed: the only one of its vendor to come, as that was to go."""
    gone = _by_vendor({name: source for name, source in old.sources.items() if name not in new.sources})
    come = _by_vendor({name: source for name, source in new.sources.items() if name not in old.sources})
    for vendor, names in come.items():
        if len(names) == 1 and len(gone.get(vendor, ())) == 1:
            yield names[0], gone[vendor][0]


def _by_vendor(sources: Mapping[str, Source]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, source in sources.items():
        found.setdefault(source.vendor, []).append(name)
    return found
