"""Carries a changeover out in the ledger: people and readings go where a new configuration has them.

Each step is a transaction that leaves counts and positions in agreement, and changes nothing the second time:
the push does it at once, and the schedule again when every function has taken the configuration up.
"""

import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from relay.aws.conflicts import until_written
from relay.aws.table import Conflict, Item, Table, Update
from relay.config.model import Config, Sensor
from relay.config.store import POINTER, entries, lineage_of, main_key, read_main, readable
from relay.deadline import Deadline
from relay.occupancy.changeover import Changeover, Watched
from relay.occupancy.days import Day, operating_day
from relay.occupancy.ledger import (
    Headcount,
    TooManyItems,
    closed_key,
    count_of,
    count_update,
    position_key,
    position_of,
    position_update,
)
from relay.occupancy.readings import sensor_name, with_only_sensors
from relay.occupancy.reported import MAX_ITEMS, SHARDS, count_key
from relay.occupancy.rules import Cause, Count, Fact, Position, count_after, with_name
from relay.occupancy.sensors import Readings

if TYPE_CHECKING:
    from relay.deadline import Clock

T = TypeVar("T")

TOGETHER = 25
"""So many people are moved in one transaction, where the places that change leave room for it."""
TAKEN_UP_SECONDS = 90
"""So long after a push every function has taken the configuration up, and has ended what it began before."""


@dataclass(frozen=True)
class Effect:
    """What a changeover does to a place in which somebody is: people before and after, by its name.

    `gone` says that the place leaves the configuration.
    """

    place: str
    before: int
    after: int
    gone: bool


class Relocation:
    """Carries changeovers out. Raises `TableUnavailable` and `Contended`."""

    def __init__(
        self, table: Table, headcount: Headcount, readings: Readings, clock: "Clock" = time.time
    ) -> None:
        self._table = table
        self._headcount = headcount
        self._readings = readings
        self._clock = clock

    def due(self) -> int:
        """The last push (its instant, ms), where people may have to be moved once more for it; else 0.

        It is due when every function has taken the push up, until that is `finished`.
        """
        pointer = self._pointer()
        pushed = int(pointer.get("swapped_at", 0))
        taken_up = self._clock() * 1000 >= pushed + TAKEN_UP_SECONDS * 1000
        return pushed if pointer.get("behind") and taken_up else 0

    def finished(self, pushed: int) -> None:
        """Note that all is told for a push, so that nobody looks again; a later push is left alone."""
        with suppress(Conflict):
            self._table.write([Update(key=POINTER, set={"behind": []}, expect={"swapped_at": pushed})])

    def _pointer(self) -> Item:
        return readable(self._table.get([POINTER]).get(POINTER)) or {}

    def carry_out(self, deadline: Deadline) -> list[tuple[str, Fact]]:
        """Move everybody to where the configuration in force has them.

        What is then to be told, each fact with the key of its source.
        """
        found = (fact for change in self._pending() for fact in self.apply(change, deadline))
        return list(dict.fromkeys(found))

    def _pending(self) -> Iterator[Changeover]:
        """The changeovers from every configuration since the last that was finished."""
        pointer = self._pointer()
        if not pointer.get("behind"):
            return
        new, watched_now = self._loaded(pointer["version"], pointer)
        for version in pointer["behind"]:
            old, watched_then = self._loaded(version, pointer)
            yield Changeover(old, new, pointer["swapped_at"], watched_then, watched_now)

    def _loaded(self, version: int, pointer: Item) -> tuple[Config, Watched]:
        key = main_key(version)
        config = read_main(self._table, version, self._table.get([key]).get(key))
        config = config.model_copy(update={"lineage": lineage_of(pointer)})
        return config, watched(config, entries(self._table, version, config, Sensor, "sensor#"))

    def apply(self, change: Changeover, deadline: Deadline) -> Iterator[tuple[str, Fact]]:
        """Move everybody as one changeover has it; what is then to be told, by the key of its source."""
        days = [operating_day(change.old, site, change.at) for site in change.concerned]
        people: dict[str, list[Day]] = {}
        for day in days:
            for person, position in self._people(day):
                if _concerned(change, day, position):
                    people.setdefault(person, []).append(day)
        touched = dict.fromkeys(days)
        for some in _batches(people, TOGETHER):
            touched |= dict.fromkeys(self._move(change, some, deadline))
        for day in days:
            self._hand_over(change, day, deadline)
        for day in touched:
            yield from self._headcount.pending(day)
        for site in change.gone:
            yield from self._headcount.close_days(site, change.old, deadline)
        for place, to, left in change.rewatched:
            source = next(iter(change.watched[place])).partition("|")[0]
            for fact in self._readings.unwatch(place, left, to, change.at, deadline):
                yield source, fact

    def _hand_over(self, change: Changeover, day: Day, deadline: Deadline) -> None:
        """Have the days that count some places of a day now know when each was last told."""
        handed = change.handed(day.site)
        for place, count in self._headcount.counts(day):
            if place in handed:
                self._told_before(*handed[place], count, deadline)

    def _told_before(self, day: Day, place: str, before: Count, deadline: Deadline) -> None:
        def attempt() -> None:
            key = count_key(day.key, place)
            count = count_of(self._table.get([key]).get(key))
            if count.at < before.at:
                self._table.write([count_update(day, place, replace(count, at=before.at))])

        until_written(attempt, deadline)

    def _people(self, day: Day) -> Iterator[tuple[str, Position]]:
        for number in range(SHARDS):
            for item in self._table.query(f"people#{day.key}#{number}", "person#"):
                yield str(item["sk"]).removeprefix("person#"), position_of(item)

    def _move(self, change: Changeover, people: Mapping[str, Sequence[Day]], deadline: Deadline) -> list[Day]:
        """Move people who are in these days; the days in which they are counted now."""
        try:
            return until_written(lambda: self._attempt(change, people), deadline)
        except TooManyItems:
            parts = _batches(people, len(people) // 2)
            return [day for part in parts for day in self._move(change, part, deadline)]

    def _attempt(self, change: Changeover, people: Mapping[str, Sequence[Day]]) -> list[Day]:
        before = self._positions((day, person) for person, days in people.items() for day in days)
        targets = {(_day_now(change, day, position), person) for (day, person), position in before.items()}
        before |= self._positions(target for target in targets if target not in before)
        after = _resolved(change, before)
        steps = list(_steps(change, before, after))
        touched = dict.fromkeys((step.day, step.place) for step in steps)
        touched |= dict.fromkeys((step.origin, step.was) for step in steps if step.origin)
        days = list(dict.fromkeys(day for day, _ in (*before, *touched)))
        found = self._table.get(
            [*(count_key(day.key, place) for day, place in touched), *map(closed_key, days)]
        )
        counts = {(day, place): count_of(found.get(count_key(day.key, place))) for day, place in touched}
        closed = frozenset(day for day in days if closed_key(day) in found)
        updates = [position_update(day, person, after[day, person]) for day, person in after]
        for (day, place), count in _counted(change, steps, counts, closed).items():
            updates.append(count_update(day, place, count))
        guards = [
            Update(key=closed_key(day), expect={"at": found.get(closed_key(day), {}).get("at")})
            for day in days
        ]
        if len(updates) + len(guards) > MAX_ITEMS and len(people) > 1:
            raise TooManyItems
        if updates:
            self._table.write([*updates, *guards])
        return days

    def _positions(self, asked: Iterable[tuple[Day, str]]) -> dict[tuple[Day, str], Position]:
        keys = {(day, person): position_key(day, person) for day, person in asked}
        found = self._table.get(list(keys.values()))
        return {who: position_of(found.get(key)) for who, key in keys.items()}

    def preview(self, change: Changeover) -> list[Effect]:
        """What a changeover would do to the places in which somebody is; changes nothing."""
        where: dict[tuple[Day, str], Position] = {}
        seen: set[Day] = set()
        coming = {operating_day(change.old, site, change.at) for site in change.concerned}
        while coming:
            seen |= coming
            found = {(day, person): position for day in coming for person, position in self._people(day)}
            coming = {_day_now(change, day, position) for (day, _), position in found.items()} - seen
            where |= found
        then = {**where, **_resolved(change, where)}
        before = Counter(change.now(place) or place for position in where.values() for place in position.path)
        after = Counter(place for position in then.values() for place in position.path)
        effects = [
            _effect(change, place, before[place], after[place])
            for place in dict.fromkeys((*before, *after))
            if before[place] != after[place]
        ]
        latest = dict(self._readings.latest())
        for place, to, left in change.rewatched:
            last = latest.get(place)
            if last is not None and (last.people or last.occupied):
                rest = with_only_sensors(last, left, place, change.at)
                now = (rest.people or int(rest.occupied)) if left else 0
                if now != (last.people or int(last.occupied)):
                    effects.append(_effect(change, to, last.people or 1, now))
        return effects


def watched(config: Config, sensors: Mapping[str, Mapping[str, Sensor]]) -> Watched:
    """The sensors of each place that has any, of those of each source."""
    found: dict[str, set[str]] = {}
    for source, of_source in sensors.items():
        for sensor, where in of_source.items():
            if where.place in config.places:
                place = config.places[where.place].location_id
                found.setdefault(place, set()).add(sensor_name(config.key(source), sensor))
    return {place: frozenset(names) for place, names in found.items()}


def _batches(people: Mapping[str, T], size: int) -> Iterator[dict[str, T]]:
    names = list(people)
    for start in range(0, len(names), max(size, 1)):
        yield {name: people[name] for name in names[start : start + max(size, 1)]}


def _concerned(change: Changeover, day: Day, position: Position) -> bool:
    """Whether somebody is elsewhere now, or is outside a site that is part of another one now."""
    if not position.event or position.moved:
        return False
    return change.moves(position) or _day_now(change, day, position) != day


def _day_now(change: Changeover, day: Day, position: Position) -> Day:
    """The day in which somebody is counted now: whoever is nowhere any more, in the one as before."""
    innermost = next(iter(change.path(position.path)), None)
    # Whoever is outside is outside of what the site is part of now.
    place = innermost if position.path else change.now(day.site)
    if place is None:
        return day
    # The outermost place of the path may be another than the site, where a sensor watches that.
    site = change.new.around(place)[-1]
    return day if site == day.site else change.day_now(site)


def _resolved(
    change: Changeover, before: Mapping[tuple[Day, str], Position]
) -> dict[tuple[Day, str], Position]:
    """Everybody's positions after the changeover, by day and person: those that change.

    Of several positions of a person in what is one day now, the newest counts.
    """
    coming: dict[tuple[Day, str], list[Position]] = {}
    for (day, person), position in before.items():
        if position.event and not position.moved:
            there = replace(position, path=change.path(position.path))
            coming.setdefault((_day_now(change, day, position), person), []).append(there)
    after: dict[tuple[Day, str], Position] = {}
    for who in dict.fromkeys((*before, *coming)):
        position = before.get(who, Position())
        if who in coming:
            newest = max(coming[who], key=lambda p: (p.at, p.event, len(p.path)))
            after[who] = replace(newest, revision=position.revision)
        elif position.event and not position.moved:
            after[who] = replace(position, path=(), moved=True)
    return {who: position for who, position in after.items() if position != before.get(who)}


@dataclass(frozen=True, slots=True)
class _Step:
    """A count of a day that changes by so many people, and the source for which it is told.

    Where the day takes the place over from another one, that is `origin`, and the place was `was` there.
    """

    day: Day
    place: str
    by: int
    source: str
    origin: Day | None = None
    was: str = ""


def _steps(
    change: Changeover,
    before: Mapping[tuple[Day, str], Position],
    after: Mapping[tuple[Day, str], Position],
) -> Iterator[_Step]:
    """What the moves do to counts. A place that another day counts now is told by that day."""
    for who, position in after.items():
        day, source = who[0], position.event.partition("|")[0]
        handed = change.handed(day.site)
        left, entered = before[who].path, position.path
        for place in left:
            if place not in entered:
                yield _Step(day, place, -1, source)
        for place in entered:
            if place not in left:
                yield _Step(day, place, 1, source)
        for place in left:
            if place in handed:
                to, now = handed[place]
                yield _Step(to, now, 0, source, day, place)


def _counted(
    change: Changeover,
    steps: Iterable[_Step],
    counts: Mapping[tuple[Day, str], Count],
    closed: Collection[Day],
) -> dict[tuple[Day, str], Count]:
    """The counts after these steps: those that change."""
    now = dict(counts)
    for step in steps:
        where = step.day, step.place
        last = counts[step.origin, step.was].at if step.origin else 0
        at = max(change.at, last + 1)
        cause = Cause(step.source, f"changeover:{change.at}")
        count = count_after(now[where], step.place, step.by, cause, at, step.day, closed=step.day in closed)
        count = with_name(with_name(count, step.place, change.old), step.place, change.new)
        now[where] = replace(count, moved=change.elsewhere(step.place, step.day.site))
    return {where: count for where, count in now.items() if count != counts[where]}


def _effect(change: Changeover, place: str, before: int, after: int) -> Effect:
    name = change.new.name_of(place)
    return Effect(name or change.old.name_of(place) or place, before, after, gone=name is None)
