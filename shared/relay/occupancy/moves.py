"""What a changeover does to positions and counts: pure functions, no storage.

`relay.occupancy.relocation` reads what these need, and writes what they decide. Positions go by day and
person, counts by day and place, because a changeover may hand both from one site's day to another's.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from relay.occupancy.changeover import Changeover, PlaceDay
from relay.occupancy.days import Day
from relay.occupancy.readings import WatchedPlace, with_only_sensors
from relay.occupancy.rules import Cause, Count, Position, count_after, differences, with_name


@dataclass(frozen=True, slots=True)
class PersonDay:
    """A person (a keyed hash) in an operating day: what one position is of."""

    day: Day
    person: str


Positions = Mapping[PersonDay, Position]
Counts = Mapping[PlaceDay, Count]


@dataclass(frozen=True, slots=True)
class CountChange:
    """A count that changes by so many people, and the source of the badge of those who are moved.

    Where its day takes the place over from another day, `taken_over_from` is the count that it had there.
    """

    where: PlaceDay
    by: int
    source: str
    taken_over_from: PlaceDay | None = None


@dataclass(frozen=True)
class Effect:
    """What a changeover does to a place in which somebody is: people before and after, by its name.

    `gone` says that the place leaves the configuration.
    """

    place: str
    before: int
    after: int
    gone: bool


def has_to_move(change: Changeover, day: Day, position: Position) -> bool:
    """Whether somebody is elsewhere now, or is outside a site that is part of another one now."""
    if not position.current:
        return False
    return change.moves(position) or day_now(change, day, position) != day


def day_now(change: Changeover, day: Day, position: Position) -> Day:
    """The day in which somebody is counted now: whoever is nowhere any more, in the one as before."""
    if not change.knows(position.path):
        return day
    innermost = next(iter(change.path_now(position.path)), None)
    # Whoever is outside is outside of what the site is part of now.
    place = innermost if position.path else change.place_now(day.site)
    if place is None:
        return day
    # The outermost place of the path may be another than the site, where a sensor watches that.
    site = change.new.around(place)[-1]
    return day if site == day.site else change.day_now(site)


def positions_after(change: Changeover, before: Positions) -> dict[PersonDay, Position]:
    """Everybody's positions after the changeover: those that change.

    Of several positions of a person in what is one day now, the newest counts.
    """
    arriving: dict[PersonDay, list[Position]] = {}
    for who, position in before.items():
        if position.current:
            target = PersonDay(day_now(change, who.day, position), who.person)
            arrived = replace(position, path=change.path_now(position.path))
            arriving.setdefault(target, []).append(arrived)
    after: dict[PersonDay, Position] = {}
    for who in dict.fromkeys((*before, *arriving)):
        known = before.get(who, Position())
        position = known
        if who in arriving:
            position = replace(_newest(arriving[who]), revision=known.revision)
        elif known.current:
            position = replace(known, path=(), moved=True)
        if position != known:
            after[who] = position
    return after


def _newest(positions: Iterable[Position]) -> Position:
    # Of one badge in two days the position that is inside is meant: the other one was left behind.
    return max(positions, key=lambda position: (position.at, position.event, len(position.path)))


def count_changes(change: Changeover, before: Positions, after: Positions) -> list[CountChange]:
    """What these moves do to counts. A place that another day counts now is reported by that day."""
    found: list[CountChange] = []
    for who, position in after.items():
        day, left = who.day, before[who].path
        source = position.event.partition("|")[0]
        for place, by in differences(left, position.path).items():
            found.append(CountChange(PlaceDay(day, place), by, source))
        takeovers = change.takeovers(day.site)
        for place in left:
            if place in takeovers:
                # Nobody more is in it, but the day that counts it now has to report it.
                taken_over_from = PlaceDay(day, place)
                found.append(CountChange(takeovers[place], 0, source, taken_over_from))
    return found


def counts_to_read(changes: Sequence[CountChange]) -> list[PlaceDay]:
    """The counts that have to be known for these changes."""
    changed = [change.where for change in changes]
    taken_over = [change.taken_over_from for change in changes if change.taken_over_from]
    return list(dict.fromkeys((*changed, *taken_over)))


def counts_after(
    change: Changeover, changes: Iterable[CountChange], before: Counts, closed: Collection[Day]
) -> dict[PlaceDay, Count]:
    """The counts after these changes: those that differ. `closed` are the days that are closed."""
    counts = dict(before)
    for each in changes:
        day, place = each.where.day, each.where.place
        # Calven has the other day's report of the place, and the times of a place's reports increase.
        reported_at = before[each.taken_over_from].at if each.taken_over_from else 0
        at = max(change.at, reported_at + 1)
        source = each.source
        if each.by < 0:
            # A zero is told for the source that reported people there, whoever was moved out last.
            source = counts[each.where].source or source
        cause = Cause(source, f"changeover:{change.at}")
        count = count_after(counts[each.where], place, each.by, cause, at, day, closed=day in closed)
        # A place that leaves the configuration is reported with the name that it had.
        count = with_name(with_name(count, place, change.old), place, change.new)
        counts[each.where] = replace(count, moved=change.counted_elsewhere(place, day.site))
    return {where: count for where, count in counts.items() if count != before[where]}


def effects_on_people(change: Changeover, before: Positions) -> list[Effect]:
    """What a changeover does to the places that count people at doors: those with other people in them."""
    after = {**before, **positions_after(change, before)}
    people_before: Counter[str] = Counter()
    people_after: Counter[str] = Counter()
    for position in before.values():
        people_before.update(change.place_now(place) or place for place in position.path)
    for position in after.values():
        people_after.update(position.path)
    places = dict.fromkeys((*people_before, *people_after))
    effects = [_effect(change, place, people_before[place], people_after[place]) for place in places]
    return [effect for effect in effects if effect.before != effect.after]


def effects_on_sensors(change: Changeover, known: Mapping[str, WatchedPlace]) -> list[Effect]:
    """What a changeover does to the places that sensors watch: those that say something else then."""
    effects: list[Effect] = []
    for sensors in change.sensor_changes:
        place = known.get(sensors.place, WatchedPlace())
        remaining = with_only_sensors(place, sensors.kept, sensors.place, change.at)
        before = place.people_at_least
        after = remaining.people_at_least if sensors.kept else 0
        if before and before != after:
            effects.append(_effect(change, sensors.place_now, before, after))
    return effects


def _effect(change: Changeover, place: str, before: int, after: int) -> Effect:
    name = change.new.name_of(place)
    return Effect(name or change.old.name_of(place) or place, before, after, gone=name is None)
