"""Carries a changeover out in the ledger: people and readings go where a new configuration has them.

Each step is a transaction that leaves counts and positions in agreement, and changes nothing the second time:
the push does it at once, and the schedule again when every function has taken the configuration up.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from relay.aws.conflicts import until_written
from relay.aws.table import Conflict, Item, Key, Table, Update
from relay.config.model import Config, Sensor
from relay.config.store import POINTER, TAKEN_UP_SECONDS, entries, lineage_of, main_key, read_main, readable
from relay.deadline import Deadline
from relay.occupancy.changeover import Changeover, PlaceDay, Watched, watched_places
from relay.occupancy.closed import closed_key, day_guard
from relay.occupancy.closing import Closing
from relay.occupancy.counts import Found, count_in, count_updates, site_key
from relay.occupancy.days import Day, operating_day
from relay.occupancy.ledger import Headcount, TooManyItems
from relay.occupancy.moves import (
    Effect,
    PersonDay,
    count_changes,
    counts_after,
    counts_to_read,
    day_now,
    effects_on_people,
    effects_on_sensors,
    has_to_move,
    positions_after,
)
from relay.occupancy.positions import position_key, position_of, position_update
from relay.occupancy.reported import MAX_ITEMS, SHARDS, count_key, note_key
from relay.occupancy.rules import PendingFact, Position
from relay.occupancy.sensors import Readings

if TYPE_CHECKING:
    from relay.deadline import Clock

T = TypeVar("T")

TOGETHER = 25
"""So many people are moved in one transaction, where the places that change leave room for it."""


class Relocation:
    """Carries changeovers out. Raises `TableUnavailable` and `Contended`."""

    def __init__(
        self, table: Table, headcount: Headcount, readings: Readings, clock: "Clock" = time.time
    ) -> None:
        self._table = table
        self._headcount = headcount
        self._closing = Closing(table, headcount, clock)
        self._readings = readings
        self._clock = clock

    def due(self) -> int:
        """The last push (its instant, ms), where people may have to be moved once more for it; else 0.

        It is due when every function has taken the push up, until `finish` notes that all is done.
        """
        pointer = self._pointer()
        pushed = int(pointer.get("swapped_at", 0))
        taken_up = self._clock() * 1000 >= pushed + TAKEN_UP_SECONDS * 1000
        return pushed if pointer.get("behind") and taken_up else 0

    def finish(self, pushed: int) -> None:
        """Note that all is reported for a push, so that nobody looks again. A later push is left alone."""
        with suppress(Conflict):
            self._table.write([Update(key=POINTER, set={"behind": []}, expect={"swapped_at": pushed})])

    def _pointer(self) -> Item:
        return readable(self._table.get([POINTER]).get(POINTER)) or {}

    def carry_out(self, deadline: Deadline) -> list[PendingFact]:
        """Move everybody to where the configuration in force has them; what is then pending."""
        found: dict[PendingFact, None] = {}
        removed: set[str] = set()
        for change in self._unfinished():
            found |= dict.fromkeys(self.apply(change, deadline))
            removed |= change.removed
        # Another place may have its name by the time that this is sent.
        return [
            (source, fact.model_copy(update={"removed": fact.location_id in removed}))
            for source, fact in found
        ]

    def _unfinished(self) -> Iterator[Changeover]:
        """The changeovers from every configuration since the last that was finished, the newest first.

        Only the newest knows what it corrected: to those before it such a place is none of theirs.
        """
        pointer = self._pointer()
        if not pointer.get("behind"):
            return
        new, watched_now = self._load(pointer["version"], pointer)
        for version in reversed(pointer["behind"]):
            old, watched_then = self._load(version, pointer)
            yield Changeover(old, new, pointer["swapped_at"], watched_then, watched_now)

    def _load(self, version: int, pointer: Item) -> tuple[Config, Watched]:
        key = main_key(version)
        config = read_main(self._table, version, self._table.get([key]).get(key))
        config = config.model_copy(update={"lineage": lineage_of(pointer)})
        return config, watched_places(config, entries(self._table, version, config, Sensor, "sensor#"))

    def apply(self, change: Changeover, deadline: Deadline) -> Iterator[PendingFact]:
        """Move everybody as one changeover has it; what is then pending."""
        days = [operating_day(change.old, site, change.at) for site in change.affected_sites]
        people = self._people_to_move(change, days)
        touched = dict.fromkeys(days)
        for some in _batches(people, TOGETHER):
            touched |= dict.fromkeys(self._move(change, some, deadline))
        for day in days:
            self._hand_over(change, day, deadline)
        # The days of the old sites too: what an earlier run moved and could not report is pending there.
        for day in touched:
            yield from self._headcount.pending(day)
        # The schedule looks at configured sites only: nobody else would end the days of these.
        for site in change.removed_sites:
            yield from self._closing.close_days(site, change.old, deadline)
        yield from self._change_sensors(change, deadline)

    def _people_to_move(self, change: Changeover, days: Iterable[Day]) -> dict[str, list[Day]]:
        """Who has to be moved, each with the days in which somebody has a position that changes."""
        people: dict[str, list[Day]] = {}
        for day in days:
            for person, position in self._people(day):
                if has_to_move(change, day, position):
                    people.setdefault(person, []).append(day)
        return people

    def _people(self, day: Day) -> Iterator[tuple[str, Position]]:
        for number in range(SHARDS):
            for item in self._table.query(f"people#{day.key}#{number}", "person#"):
                yield str(item["sk"]).removeprefix("person#"), position_of(item)

    def _hand_over(self, change: Changeover, day: Day, deadline: Deadline) -> None:
        """Have the days that count some places of a day now know when each was last reported."""
        takeovers = change.takeovers(day.site)
        for place, count in self._headcount.counts(day):
            if place in takeovers:
                self._note_last_report(takeovers[place], count.at, deadline)

    def _note_last_report(self, where: PlaceDay, reported_at: int, deadline: Deadline) -> None:
        """Have a count know of a report in another day: its own next one must not have an earlier time.

        That is nothing to report: its day may be done.
        """
        day, place = where.day, where.place

        def attempt() -> None:
            found = self._table.get([site_key(day.key), _count_key(where)])
            count = count_in(day, place, found)
            if count.at < reported_at:
                self._table.write(count_updates(day, {place: replace(count, at=reported_at)}, found))

        until_written(attempt, deadline)

    def _change_sensors(self, change: Changeover, deadline: Deadline) -> Iterator[PendingFact]:
        """Have watched places keep only the sensors that they have now; what is then pending."""
        for sensors in change.sensor_changes:
            yield from self._readings.unwatch(
                sensors.place, sensors.kept, sensors.place_now, change.at, deadline
            )

    def _move(self, change: Changeover, people: Mapping[str, Sequence[Day]], deadline: Deadline) -> list[Day]:
        """Move people who are in these days; the days in which they are counted now."""
        try:
            return until_written(lambda: self._move_together(change, people), deadline)
        except TooManyItems:
            days: list[Day] = []
            for part in _batches(people, len(people) // 2):
                days += self._move(change, part, deadline)
            return days

    def _move_together(self, change: Changeover, people: Mapping[str, Sequence[Day]]) -> list[Day]:
        """Move people in one transaction: positions and counts are read, decided upon and written."""
        before = self._positions_around(change, people)
        after = positions_after(change, before)
        changes = count_changes(change, before, after)
        places = counts_to_read(changes)
        days = list(dict.fromkeys([*(who.day for who in before), *(where.day for where in places)]))
        found = self._counts(places, days)
        counts = {where: count_in(where.day, where.place, found) for where in places}
        closed_at = {day: found[closed_key(day.key)]["at"] for day in days if closed_key(day.key) in found}
        counts_now = counts_after(change, changes, counts, closed_at)
        updates = [position_update(who.day, who.person, position) for who, position in after.items()]
        for day in days:
            of_day = {where.place: count for where, count in counts_now.items() if where.day == day}
            updates += count_updates(day, of_day, found)
        guards = [day_guard(day.key, closed_at.get(day)) for day in days]
        if len(updates) + len(guards) > MAX_ITEMS and len(people) > 1:
            raise TooManyItems
        if updates:
            self._table.write([*updates, *guards])
        return days

    def _positions_around(
        self, change: Changeover, people: Mapping[str, Sequence[Day]]
    ) -> dict[PersonDay, Position]:
        """People's positions in the days in which they are, and in those in which they are counted now."""
        before = self._positions(PersonDay(day, person) for person, days in people.items() for day in days)
        targets: dict[PersonDay, None] = {}
        for who, position in before.items():
            target = PersonDay(day_now(change, who.day, position), who.person)
            if target not in before:
                targets[target] = None
        return before | self._positions(targets)

    def _positions(self, people: Iterable[PersonDay]) -> dict[PersonDay, Position]:
        keys = {who: position_key(who.day, who.person) for who in people}
        found = self._table.get(list(keys.values()))
        return {who: position_of(found.get(key)) for who, key in keys.items()}

    def _counts(self, places: Sequence[PlaceDay], days: Sequence[Day]) -> Found:
        """The items in which counts may be, and of the days what Calven was told and which are closed."""
        of_days = [key(day.key) for day in days for key in (site_key, note_key, closed_key)]
        return self._table.get([*map(_count_key, places), *of_days])

    def preview(self, change: Changeover) -> list[Effect]:
        """What a changeover would do to the places in which somebody is; changes nothing."""
        positions = self._affected_positions(change)
        watched = dict(self._readings.latest())
        return [*effects_on_people(change, positions), *effects_on_sensors(change, watched)]

    def _affected_positions(self, change: Changeover) -> dict[PersonDay, Position]:
        """Everybody's positions in the affected days, and in the days in which they are counted now."""
        positions: dict[PersonDay, Position] = {}
        waiting = [operating_day(change.old, site, change.at) for site in change.affected_sites]
        known = set(waiting)
        while waiting:
            day = waiting.pop(0)
            for person, position in self._people(day):
                positions[PersonDay(day, person)] = position
                target = day_now(change, day, position)
                if target not in known:
                    known.add(target)
                    waiting.append(target)
        return positions


def _count_key(where: PlaceDay) -> Key:
    return count_key(where.day.key, where.place)


def _batches(people: Mapping[str, T], size: int) -> Iterator[dict[str, T]]:
    names = list(people)
    size = max(size, 1)
    for start in range(0, len(names), size):
        yield {name: people[name] for name in names[start : start + size]}
