"""The ledger of people and counts: reads and conditional writes around `relay.occupancy.rules`.

`day#<day>` / `count#<place>` is a place's count, `people#<day>#<shard>` / `person#<hash>` where a person is,
`day#<day>` / `closed` says that a day was reported empty. A day is `<site>#<its first instant>`; sites and
places go by their `locationId`. All expire after 16 days.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

from relay.aws.conflicts import until_written
from relay.aws.early import marked, marker_key
from relay.aws.table import Conflict, Item, Key, Table, Update
from relay.config.model import Config
from relay.deadline import Deadline
from relay.errors import Contended
from relay.events import iso_ms
from relay.occupancy.days import KEPT_SECONDS, Day, operating_day, recent_days
from relay.occupancy.reported import count_key, shard
from relay.occupancy.rules import (
    Badge,
    Changes,
    Count,
    Fact,
    Ledger,
    Position,
    Settled,
    end,
    settle,
)

if TYPE_CHECKING:
    from relay.deadline import Clock

LATE_MS = 5_000
"""So long before its day ends, a badge begins to check that the day has not been closed."""
CLOSE_AFTER_MS = 60_000
"""So long after its end a day is closed: badges that were just being written are in by then."""
MAX_ITEMS = 100
SWEEP_AFTER_MS = 60_000
FIELDS = ("people", "version", "at", "event_id", "source", "ended", "late", "name", "type", "moved")


class _TooMany(Exception):
    """These badges change more items than a transaction takes."""


class Headcount:
    """Settles badges, and closes days. Raises `TableUnavailable` and `Contended`."""

    def __init__(
        self, table: Table, clock: "Clock" = time.time, site_locks: defaultdict[str, Lock] | None = None
    ) -> None:
        self._table = table
        self._clock = clock
        self._site_locks = defaultdict(Lock) if site_locks is None else site_locks

    def settle(
        self, badges: Sequence[Badge], day: Day, config: Config, deadline: Deadline, apart: int = 0
    ) -> list[Settled]:
        """Record badges of one operating day. Two reads at most and one write, again on a conflict.

        What becomes of each, in their order. `apart` is as in `settle` of the rules. Badges that are too many
        for one transaction are halved.
        """
        turn = self._site_locks[day.site]
        if not turn.acquire(timeout=max(deadline.left_for_work(), 0)):
            raise Contended
        try:
            return self._settle(badges, day, config, deadline, apart)
        finally:
            turn.release()

    def _settle(
        self, badges: Sequence[Badge], day: Day, config: Config, deadline: Deadline, apart: int
    ) -> list[Settled]:
        try:
            return until_written(lambda: list(self._attempt(badges, day, config, apart)), deadline)
        except _TooMany:
            half = len(badges) // 2
            parts = (badges[:half], badges[half:])
            return [s for part in parts for s in self._settle(part, day, config, deadline, apart)]

    def _attempt(self, badges: Sequence[Badge], day: Day, config: Config, apart: int) -> Sequence[Settled]:
        where = {badge.person: position_key(day, badge.person) for badge in badges}
        closed = closed_key(day)
        late = self._clock() * 1000 >= day.end - LATE_MS
        days = [day, operating_day(config, day.site, day.end)] if late else [day]
        around = dict.fromkeys(place for badge in badges for place in config.around(badge.place))
        markers = {badge.id: _marker_key(badge) for badge in badges}
        counts_around, ends = _keys(days, around), [closed] if late else []
        found = self._table.get([*where.values(), *counts_around, *markers.values(), *ends])
        positions = {person: position_of(found.get(key)) for person, key in where.items()}
        left = dict.fromkeys(p for position in positions.values() for p in position.path if p not in around)
        if left:
            found |= self._table.get(_keys(days, left))
        counts, *next_day = (
            {place: count_of(found.get(count_key(of.key, place))) for place in (*around, *left)}
            for of in days
        )
        since = frozenset(place for later in next_day for place, count in later.items() if count.at)
        early = frozenset(badge_id for badge_id, key in markers.items() if key in found)
        ledger = Ledger(day, positions, counts, closed in found, since, early)
        changes = settle(badges, ledger, config, apart)
        ahead = {badge.id: badge for badge in badges if badge.early and badge.id not in early}
        extra = [marked(_marker_key(badge), iso_ms(badge.at), self._clock()) for badge in ahead.values()]
        if changes.positions and late:
            extra.append(Update(key=closed, expect={"at": found.get(closed, {}).get("at")}))
        if changes.positions or extra:
            self._write(changes, ledger, extra)
        return changes.settled

    def _write(self, changes: Changes, ledger: Ledger, extra: Sequence[Update]) -> None:
        updates = [position_update(ledger.day, person, p) for person, p in changes.positions.items()]
        updates += [count_update(ledger.day, place, count) for place, count in changes.counts.items()]
        if len(updates) + len(extra) > MAX_ITEMS and len(changes.settled) > 1:
            raise _TooMany
        self._table.write([*updates, *extra])

    def today(self, site: str, config: Config) -> tuple[Day, list[tuple[str, Count]]]:
        """The operating day that it is at a site now, and each place's count in it."""
        day = operating_day(config, site, int(self._clock() * 1000))
        return day, list(self.counts(day))

    def close_days(self, site: str, config: Config) -> list[tuple[str, Fact]]:
        """What there is to tell about a site's days: zeros of those that are over, and all left unreported.

        Each fact with the source that last reported its place.

        Running it twice, late, or after days of not running at all comes to the same.
        """
        now = int(self._clock() * 1000)
        days = recent_days(config, site, now)
        markers = {day: closed_key(day) for day in days if now >= day.end + CLOSE_AFTER_MS}
        closed = self._table.get(list(markers.values()))
        for day in reversed(days):
            if day in markers and markers[day] not in closed:
                self._close(markers[day], day, now)
        facts: list[tuple[str, Fact]] = []
        since: set[str] = set()
        for day in days:
            counts = {place: (count, swept) for place, count, swept in self._counts(day)}
            for place, (count, swept) in counts.items():
                told = self._end(day, place, count) if day in markers else count
                if swept < told.version and (day in markers or told.at < now - SWEEP_AFTER_MS):
                    untold = told.untold(place, day, told_since=place in since)
                    facts += [(told.source, fact) for fact in untold]
            since = {place for place, (count, _) in counts.items() if count.at}
        return facts

    def counts(self, day: Day) -> Iterator[tuple[str, Count]]:
        """Each place's count in a day."""
        for place, count, _ in self._counts(day):
            yield place, count

    def pending(self, day: Day) -> list[tuple[str, Fact]]:
        """What is still to be told of a day's counts, each with its source, and is in no queue yet."""
        return [
            (count.source, fact)
            for place, count, swept in self._counts(day)
            if swept < count.version
            for fact in count.untold(place, day)
        ]

    def _close(self, marker: Key, day: Day, now: int) -> None:
        try:
            expires_at = day.end // 1000 + KEPT_SECONDS
            self._table.write(
                [Update(key=marker, set={"at": now, "expires_at": expires_at}, expect={"at": None})]
            )
        except Conflict:
            return

    def _end(self, day: Day, place: str, count: Count) -> Count:
        """The count as it stands once its day is over; a badge that comes in between is read again."""
        key = count_key(day.key, place)
        while (ended := end(count)) != count:
            try:
                self._table.write([count_update(day, place, ended)])
            except Conflict:
                count = count_of(self._table.get([key]).get(key))
            else:
                return ended
        return count

    def _counts(self, day: Day) -> list[tuple[str, Count, int]]:
        """Each place's count, and the version that the last sweep put into a queue."""
        items = self._table.query(_partition(day.key), "count#")
        return [
            (str(item["sk"]).removeprefix("count#"), count_of(item), item.get("swept", 0)) for item in items
        ]


def _partition(day: str) -> str:
    return f"day#{day}"


def _keys(days: Sequence[Day], places: Iterable[str]) -> list[Key]:
    return [count_key(day.key, place) for day in days for place in places]


def closed_key(day: Day) -> Key:
    """Where it says that a day was reported empty."""
    return _partition(day.key), "closed"


def _marker_key(badge: Badge) -> Key:
    """Where it says that a badge came before its own time."""
    return marker_key(badge.source, f"badge#{badge.person}", f"{badge.own}|{badge.event_id}")


def position_key(day: Day, person: str) -> Key:
    """Where a person's position in a day is."""
    return f"people#{day.key}#{shard(person)}", f"person#{person}"


def position_update(day: Day, person: str, position: Position) -> Update:
    """A person's position, where it still has the revision that was read."""
    values: dict[str, Any] = {"path": list(position.path), "at": position.at, "event": position.event}
    values["moved"] = position.moved
    return _versioned(position_key(day, person), values, position.revision, day)


def count_update(day: Day, place: str, count: Count) -> Update:
    """A place's count, where it still has the revision that was read."""
    values = {name: getattr(count, name) for name in FIELDS}
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


def count_of(item: Item | None) -> Count:
    """A count as it is stored."""
    if item is None:
        return Count()
    return Count(**{name: item[name] for name in (*FIELDS, "revision")}, reported=item.get("reported", 0))
