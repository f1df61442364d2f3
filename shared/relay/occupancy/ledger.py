"""The ledger of people and counts: reads, has the rules decide, and writes what they decided.

`day#<day>` / `count#<place>` has a place's count (`relay.occupancy.counts`), `people#<day>#<shard>` /
`person#<hash>` where a person is, `day#<day>` / `closed` that a day is closed (`relay.occupancy.closed`), and
`reported` what Calven has been told of its counts (`relay.occupancy.reported`). A day is `<site>#<its first
instant>`, and for shadowed sources that with `#shadow`. Sites and places go by their `locationId`. All expire
after 16 days.
"""

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.at_once import each
from relay.aws.conflicts import until_written
from relay.aws.early import marked
from relay.aws.table import Conflict, Item, Key, Table, Update
from relay.config.model import Config
from relay.deadline import LEAST_ATTEMPT_SECONDS, WAITED_FOR, Deadline, Pace
from relay.errors import Contended, TableUnavailable, TooLarge
from relay.events import iso_ms
from relay.occupancy.around import Around, badge_marker
from relay.occupancy.closed import day_guard
from relay.occupancy.counts import Found, count_updates, counts_in, partition
from relay.occupancy.days import Day, operating_day
from relay.occupancy.positions import position_update
from relay.occupancy.reported import MAX_ITEMS, count_key
from relay.occupancy.rules import (
    Badge,
    Count,
    PendingFact,
    unqueued_facts,
)
from relay.occupancy.settlement import Changes, Ledger, Settlement, settle
from relay.occupancy.turns import Turns

if TYPE_CHECKING:
    from relay.deadline import Clock

Part = tuple[Day, Sequence[Badge]]
"""Badges of one operating day, in their order."""


class TooManyItems(Exception):
    """What is to be written changes more items than a transaction takes."""


@dataclass(frozen=True, slots=True)
class _Decided:
    """What becomes of some badges of one day, what is to be written for it, and what is around them."""

    around: Around
    settlements: Sequence[Settlement]
    updates: Sequence[Update]

    @property
    def day(self) -> Day:
        """The day of the badges."""
        return self.around.day


class Headcount:
    """Settles badges. Raises `TableUnavailable` and `Contended`."""

    def __init__(self, table: Table, clock: "Clock" = time.time, turns: Turns | None = None) -> None:
        self._table = table
        self._clock = clock
        self._turns = Turns(clock) if turns is None else turns

    def settle(
        self,
        badges: Sequence[Badge],
        day: Day,
        config: Config,
        deadline: Deadline,
        pace: Pace = WAITED_FOR,
    ) -> list[Settlement]:
        """Record badges of one operating day. Two reads at most and one write, again on a conflict.

        What becomes of each, in their order. Badges that are too many for one transaction are halved.
        """
        with self._turns.at(day.site, deadline, pace.rest_seconds) as rested:
            return self._settle(badges, day, config, deadline, pace.probing() if rested else pace)

    def _settle(
        self, badges: Sequence[Badge], day: Day, config: Config, deadline: Deadline, pace: Pace
    ) -> list[Settlement]:
        places: list[str] = []

        def attempt() -> Sequence[Settlement]:
            around = Around(day, badges, config, self._now(), places)
            found = self._read([around])
            # Another attempt reads everything with its first request.
            places[:] = around.places
            part = self._decide(around, found, config, pace)
            try:
                return self._write_alone(part)
            except Conflict as conflict:
                if not _only_counts(conflict, part) or deadline.left_for_work() < LEAST_ATTEMPT_SECONDS:
                    raise
                # Nobody holds an item any more, and what has changed is known: there is nothing to wait for.
                found = self._read([around], _as_refused(found, part, conflict))
                return self._write_alone(self._decide(around, found, config, pace))

        try:
            return list(until_written(attempt, deadline, pace.pauses))
        except TooManyItems:
            half = len(badges) // 2
            earlier = self._settle(badges[:half], day, config, deadline, pace)
            later = self._settle(badges[half:], day, config, deadline, pace)
            return earlier + later

    def _write_alone(self, part: _Decided) -> Sequence[Settlement]:
        # One badge alone always fits: it changes two paths of twenty places at most.
        if len(part.updates) > MAX_ITEMS and len(part.around.badges) > 1:
            raise TooManyItems
        self._table.write(part.updates)
        return part.settlements

    def settle_together(
        self, parts: Sequence[Part], config: Config, deadline: Deadline, pace: Pace
    ) -> list[Sequence[Settlement] | None]:
        """Record badges of several operating days, each in one part, in as few requests as possible.

        What becomes of the badges of each part, or None where nothing of it was written: others wrote the
        same items meanwhile, or it does not go together with the others. `settle` does it by itself then.
        """
        settled: dict[Day, Sequence[Settlement]] = {}
        with ExitStack() as turns:
            sites = self._take_turns({day.site for day, _ in parts}, turns, deadline, pace)
            arounds = [Around(*part, config, self._now()) for part in parts if part[0].site in sites]
            found = self._read(arounds)
            decided = [self._decide(around, found, config, pace) for around in arounds]
            for written in each(self._write_together, [*_transactions(decided)]):
                settled |= {part.day: part.settlements for part in written}
        return [settled.get(day) for day, _ in parts]

    def _take_turns(
        self, sites: Collection[str], turns: ExitStack, deadline: Deadline, pace: Pace
    ) -> Collection[str]:
        """Take the turns at these sites; those whose turn came."""
        taken: list[str] = []
        # Always in the same order: two threads that each wait for the other's turn would wait for ever.
        for site in sorted(sites):
            with suppress(Contended):
                turns.enter_context(self._turns.at(site, deadline, pace.rest_seconds))
                taken.append(site)
        return taken

    def _write_together(self, parts: Sequence[_Decided]) -> Sequence[_Decided]:
        """Write these in one transaction, but for those whose items others hold or have changed.

        Those that were written.
        """
        while parts:
            try:
                self._table.write([update for part in parts for update in part.updates])
            except Conflict as conflict:
                parts = _without_refused(parts, conflict)
            except (TableUnavailable, TooLarge):
                return []  # one of them may be at fault: it must not hold up the others
            else:
                return parts
        return []

    def _now(self) -> float:
        return self._clock() * 1000

    def _read(self, arounds: Sequence[Around], known: Found | None = None) -> Found:
        """What is around some badges, in one read or two for all; in none where it is `known`."""
        found = known
        if found is None:
            found = self._table.get([key for around in arounds for key in around.keys])
        more = [key for around in arounds for key in around.more_keys(found)]
        return {**found, **self._table.get(more)} if more else found

    def _decide(self, around: Around, found: Found, config: Config, pace: Pace) -> _Decided:
        """What becomes of some badges, by what was read."""
        ledger = around.ledger(found)
        changes = settle(around.badges, ledger, config, pace.apart)
        updates = self._updates(changes, ledger, found, near_end=around.near_end)
        return _Decided(around, changes.settlements, updates)

    def _updates(self, changes: Changes, ledger: Ledger, found: Found, *, near_end: bool) -> list[Update]:
        day = ledger.day
        updates = [position_update(day, person, position) for person, position in changes.positions.items()]
        updates += count_updates(day, changes.counts, found)
        for badge in changes.early.values():
            updates.append(marked(badge_marker(badge, day), iso_ms(badge.at), self._clock()))
        if changes.positions and near_end:
            updates.append(day_guard(day.key, ledger.closed_at))
        return updates

    def today(
        self, site: str, config: Config, *, shadow: bool = False
    ) -> tuple[Day, list[tuple[str, Count]]]:
        """The operating day that it is at a site now, and each place's count in it, or in its shadow."""
        day = operating_day(config, site, int(self._clock() * 1000)).for_source(shadowed=shadow)
        return day, list(self.counts(day))

    def counts(self, day: Day) -> Iterator[tuple[str, Count]]:
        """Each place's count in a day."""
        return counts_in(day, self.items(day))

    def items(self, day: Day) -> dict[Key, Item]:
        """All that the ledger holds of a day's counts."""
        return {(item["pk"], item["sk"]): item for item in self._table.partition(partition(day))}

    def pending(self, day: Day) -> list[PendingFact]:
        """What is pending of a day's counts, and in no queue yet."""
        return unqueued_facts(day, dict(self.counts(day)))


def _transactions(decided: Sequence[_Decided]) -> Iterator[list[_Decided]]:
    """The parts that go together, by transaction. Left out is what needs one by itself.

    That is what changes too many items, and what was read before another part of them has changed it.
    """
    read: set[Key] = set()
    some: list[_Decided] = []
    size = 0
    for part in decided:
        keys = part.around.keys
        if len(part.updates) > MAX_ITEMS or not read.isdisjoint(keys):
            continue
        read.update(keys)
        if size + len(part.updates) > MAX_ITEMS:
            yield some
            some, size = [], 0
        some.append(part)
        size += len(part.updates)
    yield some


def _without_refused(parts: Sequence[_Decided], conflict: Conflict) -> list[_Decided]:
    """The parts none of whose updates was in the way; none where it is not known which were."""
    refused = {*conflict.found, *conflict.held}
    left: list[_Decided] = []
    number = 0
    for part in parts:
        numbers = range(number, number + len(part.updates))
        number += len(part.updates)
        if refused and refused.isdisjoint(numbers):
            left.append(part)
    return left


def _only_counts(conflict: Conflict, part: _Decided) -> bool:
    """Whether nothing but counts was in the way of a write, and all of them are as the refusal says.

    Where a person has moved too, or the day may be closed, more has changed than the refusal can say: what
    has been told, which badges came early, and what the next day has told.
    """
    if conflict.held or not conflict.found or not all(conflict.found.values()) or part.around.near_end:
        return False
    counts = {count_key(part.day.key, place) for place in (part.day.site, *part.around.places)}
    return counts.issuperset(part.updates[number].key for number in conflict.found)


def _as_refused(found: Found, part: _Decided, conflict: Conflict) -> Found:
    """What was read, with the items that a refused write has found changed as they are now."""
    return {**found, **{part.updates[number].key: item for number, item in conflict.found.items()}}
