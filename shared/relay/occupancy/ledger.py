"""The ledger of people and counts: reads, has the rules decide, and writes what they decided.

`day#<day>` / `count#<place>` is a place's count, `people#<day>#<shard>` / `person#<hash>` where a person is,
`day#<day>` / `closed` says that a day was reported empty, and `reported` what Calven has been told of its
counts (`relay.occupancy.reported`). A day is `<site>#<its first instant>`, and for
shadowed sources that with `#shadow`. Sites and places go by their `locationId`. All expire after 16 days.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from relay.aws.conflicts import until_written
from relay.aws.early import marked, marker_key
from relay.aws.table import Conflict, Item, Key, Table, Update
from relay.config.model import Config
from relay.deadline import WAITED_FOR, Deadline, Pace
from relay.events import iso_ms
from relay.occupancy.days import KEPT_SECONDS, Day, operating_day, recent_days
from relay.occupancy.reported import MAX_ITEMS, Told, count_key, note_key, shard, told_of
from relay.occupancy.rules import (
    Badge,
    Count,
    PendingFact,
    Position,
    count_at_end,
    old_enough,
    reported_places,
    unqueued_facts,
)
from relay.occupancy.settlement import Changes, Ledger, Settlement, other_places, places_around, settle
from relay.occupancy.turns import Turns

if TYPE_CHECKING:
    from relay.deadline import Clock

NEAR_END_MS = 5_000
"""So long before its day ends, a badge begins to check that the day has not been closed."""
CLOSE_AFTER_MS = 60_000
"""So long after its end a day is closed: badges that were just being written are in by then."""

NOTHING_TOLD = Told()


class TooManyItems(Exception):
    """What is to be written changes more items than a transaction takes."""


class Headcount:
    """Settles badges, and closes days. Raises `TableUnavailable` and `Contended`."""

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
        with self._turns.at(day.site, deadline, pace.rest_seconds):
            return self._settle(badges, day, config, deadline, pace)

    def _settle(
        self, badges: Sequence[Badge], day: Day, config: Config, deadline: Deadline, pace: Pace
    ) -> list[Settlement]:
        def attempt() -> Sequence[Settlement]:
            near_end = self._clock() * 1000 >= day.end - NEAR_END_MS
            ledger = self._read(badges, day, config, near_end=near_end)
            changes = settle(badges, ledger, config, pace.apart)
            self._write(changes, ledger, near_end=near_end)
            return changes.settlements

        try:
            return list(until_written(attempt, deadline, pace.pauses))
        except TooManyItems:
            half = len(badges) // 2
            earlier = self._settle(badges[:half], day, config, deadline, pace)
            later = self._settle(badges[half:], day, config, deadline, pace)
            return earlier + later

    def _read(self, badges: Sequence[Badge], day: Day, config: Config, *, near_end: bool) -> Ledger:
        """What is around these badges: one read, and another where somebody comes from other places."""
        position_keys = {badge.person: position_key(day, badge.person) for badge in badges}
        marker_keys = {badge.id: _marker_key(badge, day) for badge in badges}
        places = places_around(badges, config)
        # From shortly before its end on, the day may have been closed, and the next one reported.
        next_days = [operating_day(config, day.site, day.end)] if near_end else []
        closed_keys = [closed_key(day)] if near_end else []
        days = [day, *next_days]
        notes = [note_key(each.key) for each in days]
        found = self._table.get(
            [*position_keys.values(), *_count_keys(days, places), *notes, *marker_keys.values(), *closed_keys]
        )
        positions = {person: position_of(found.get(key)) for person, key in position_keys.items()}
        others = other_places(positions.values(), places)
        if others:
            found |= self._table.get(_count_keys(days, others))
            places += others
        closed = found.get(closed_key(day))
        return Ledger(
            day=day,
            positions=positions,
            counts=_counts_of(day, places, found),
            closed_at=closed["at"] if closed else None,
            reported_next_day=_reported(next_days, places, found),
            early=frozenset(badge_id for badge_id, key in marker_keys.items() if key in found),
        )

    def _write(self, changes: Changes, ledger: Ledger, *, near_end: bool) -> None:
        day = ledger.day
        updates = [position_update(day, person, position) for person, position in changes.positions.items()]
        updates += [count_update(day, place, count) for place, count in changes.counts.items()]
        for badge in changes.early.values():
            updates.append(marked(_marker_key(badge, day), iso_ms(badge.at), self._clock()))
        if changes.positions and near_end:
            # A day that is closed between the read and this write has other counts to report.
            updates.append(Update(key=closed_key(day), expect={"at": ledger.closed_at}))
        if len(updates) > MAX_ITEMS and len(changes.settlements) > 1:
            raise TooManyItems
        self._table.write(updates)

    def today(
        self, site: str, config: Config, *, shadow: bool = False
    ) -> tuple[Day, list[tuple[str, Count]]]:
        """The operating day that it is at a site now, and each place's count in it, or in its shadow."""
        day = operating_day(config, site, int(self._clock() * 1000)).for_source(shadowed=shadow)
        return day, list(self.counts(day))

    def close_days(self, site: str, config: Config, deadline: Deadline) -> list[PendingFact]:
        """Close a site's days that are over. What is then pending of its days, zeros of closed ones included.

        Running it twice, late, or after days of not running at all comes to the same. Counts that a shadowed
        source changed last wait until it is live again.
        """
        now = int(self._clock() * 1000)
        days = recent_days(config, site, now)
        over = [day for day in days if now >= day.end + CLOSE_AFTER_MS]
        self._close(over, now)
        pending: list[PendingFact] = []
        reported_next_day: frozenset[str] = frozenset()
        # The latest day comes first: what it has reported makes the zero of the day before no news.
        for day in days:
            counts = dict(self.counts(day))
            reported = reported_places(counts)
            if day in over:
                counts = {place: self._end(day, place, count, deadline) for place, count in counts.items()}
            else:
                counts = old_enough(counts, now)
            pending += unqueued_facts(day, counts, reported_next_day, config.shadowed)
            reported_next_day = reported
        return pending

    def counts(self, day: Day) -> Iterator[tuple[str, Count]]:
        """Each place's count in a day."""
        items = {str(item["sk"]): item for item in self._table.partition(_partition(day.key))}
        note = items.get(note_key(day.key)[1])
        for name, item in items.items():
            place = name.removeprefix("count#")
            if place != name:
                yield place, count_of(item, told_of(note, place))

    def pending(self, day: Day) -> list[PendingFact]:
        """What is pending of a day's counts, and in no queue yet."""
        return unqueued_facts(day, dict(self.counts(day)))

    def _close(self, days: Sequence[Day], now: int) -> None:
        """Note that these days are closed, the earliest first; from then on their badges count as late."""
        closed = self._table.get([closed_key(day) for day in days])
        for day in reversed(days):
            if closed_key(day) in closed:
                continue
            values = {"at": now, "expires_at": day.end // 1000 + KEPT_SECONDS}
            try:
                self._table.write([Update(key=closed_key(day), set=values, expect={"at": None})])
            except Conflict:
                continue  # another run has closed it

    def _end(self, day: Day, place: str, count: Count, deadline: Deadline) -> Count:
        """The count as it stands once its day is over, written where that changes it."""
        try:
            return self._write_end(day, place, count)
        except Conflict:
            # A badge came in between. What it made of the count is read again.
            return until_written(lambda: self._write_end(day, place, self._count(day, place)), deadline)

    def _write_end(self, day: Day, place: str, count: Count) -> Count:
        ended = count_at_end(count)
        if ended != count:
            self._table.write([count_update(day, place, ended)])
        return ended

    def _count(self, day: Day, place: str) -> Count:
        return count_in(day, place, self._table.get([count_key(day.key, place), note_key(day.key)]))


def _partition(day: str) -> str:
    return f"day#{day}"


def _count_keys(days: Sequence[Day], places: Iterable[str]) -> list[Key]:
    return [count_key(day.key, place) for day in days for place in places]


def _counts_of(day: Day, places: Sequence[str], found: Mapping[Key, Item]) -> dict[str, Count]:
    return {place: count_in(day, place, found) for place in places}


def count_in(day: Day, place: str, found: Mapping[Key, Item]) -> Count:
    """A place's count among the items that were read; the note of its day is one of them."""
    told = told_of(found.get(note_key(day.key)), place)
    return count_of(found.get(count_key(day.key, place)), told)


def _reported(days: Sequence[Day], places: Sequence[str], found: Mapping[Key, Item]) -> frozenset[str]:
    """Those of the places of which something was reported in one of these days."""
    reported: set[str] = set()
    for day in days:
        counts = _counts_of(day, places, found)
        reported |= reported_places(counts)
    return frozenset(reported)


def closed_key(day: Day) -> Key:
    """Where it says that a day was reported empty."""
    return _partition(day.key), "closed"


def _marker_key(badge: Badge, day: Day) -> Key:
    """Where it says that a badge came before its own time."""
    own = f"{badge.vendor_at}|{badge.event_id}"
    return marker_key(badge.source, f"badge#{badge.person}", own, shadow=day.shadow)


def position_key(day: Day, person: str) -> Key:
    """Where a person's position in a day is."""
    return f"people#{day.key}#{shard(person)}", f"person#{person}"


def position_update(day: Day, person: str, position: Position) -> Update:
    """A person's position, where it still has the revision that was read."""
    values: dict[str, Any] = {
        "path": list(position.path),
        "at": position.at,
        "event": position.event,
        "moved": position.moved,
    }
    return _versioned(position_key(day, person), values, position.revision, day)


def count_update(day: Day, place: str, count: Count) -> Update:
    """A place's count, where it still has the revision that was read; without what was reported of it."""
    values: dict[str, Any] = {
        "people": count.people,
        "version": count.version,
        "at": count.at,
        "event_id": count.event_id,
        "source": count.source,
        "ended": count.ended,
        "late": count.late,
        "name": count.name,
        "type": count.type,
        "moved": count.moved,
    }
    return _versioned(count_key(day.key, place), values, count.revision, day)


def _versioned(key: Key, values: Mapping[str, Any], revision: int, day: Day) -> Update:
    values = {**values, "revision": revision + 1, "expires_at": day.end // 1000 + KEPT_SECONDS}
    return Update(key=key, set=values, expect={"revision": revision or None})


def position_of(item: Item | None) -> Position:
    """A position as it is stored."""
    if item is None:
        return Position()
    return Position(
        path=tuple(item["path"]),
        at=item["at"],
        event=item["event"],
        moved=item.get("moved", False),
        revision=item["revision"],
    )


def count_of(item: Item | None, told: Told = NOTHING_TOLD) -> Count:
    """A count as it is stored, with what Calven has been told of it."""
    if item is None:
        return Count()
    # Until there was a note of each day, it stood beside each count: of days that began then it still does.
    if item.get("reported", 0) > told.reported:
        told = Told(item["reported"], item.get("reported_as"), told.queued)
    return Count(
        people=item["people"],
        version=item["version"],
        reported=told.reported,
        reported_as=told.reported_as,
        queued=max(item.get("swept", 0), told.queued),
        at=item["at"],
        event_id=item["event_id"],
        source=item["source"],
        ended=item["ended"],
        late=item["late"],
        name=item["name"],
        type=item["type"],
        moved=item["moved"],
        revision=item["revision"],
    )
