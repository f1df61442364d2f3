"""Closes operating days, reports their places empty, and finds what is pending of a site's recent days."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from relay.aws.conflicts import until_written
from relay.aws.table import Conflict, Table, Update
from relay.config.model import Config
from relay.deadline import Deadline
from relay.occupancy.closed import Closed, all_told, closed_key, closed_of, closing
from relay.occupancy.counts import Found, count_in, count_updates, counts_in, site_key
from relay.occupancy.days import Day, recent_days
from relay.occupancy.ledger import Headcount
from relay.occupancy.reported import MAX_ITEMS, count_key, note_key
from relay.occupancy.rules import (
    Count,
    PendingFact,
    all_reported,
    count_at_end,
    late_is_pending,
    old_enough,
    reported_places,
    unqueued_facts,
)

if TYPE_CHECKING:
    from relay.deadline import Clock

CLOSE_AFTER_MS = 60_000
"""So long after its end a day is closed: badges that were just being written are in by then."""
DONE_AFTER_MS = 30 * 60_000
"""So long after it was closed a day may be done: by then nobody counts in it who does not know of that.

For a while somebody may, with a slow clock or with a configuration in which the day ends later.
"""

Notes: TypeAlias = Mapping[str, Closed]
"""The notes of days that are closed, by the day's key."""
Counts: TypeAlias = Mapping[str, Count]
"""A day's counts, by place."""


class Closing:
    """Closes days. Raises `TableUnavailable` and `Contended`."""

    def __init__(self, table: Table, headcount: Headcount, clock: "Clock" = time.time) -> None:
        self._table = table
        self._headcount = headcount
        self._clock = clock

    def notes(self, sites: Iterable[str], config: Config) -> Notes:
        """The notes of recent days of some sites: fifteen or sixteen of each, a hundred in a request."""
        now = self._now()
        days = [day.key for site in sites for day in _over(recent_days(config, site, now), now)]
        found = self._table.get([closed_key(day) for day in days])
        notes = {day: closed_of(found.get(closed_key(day))) for day in days}
        return {day: note for day, note in notes.items() if note}

    def close_days(
        self, site: str, config: Config, deadline: Deadline, notes: Notes | None = None
    ) -> list[PendingFact]:
        """Close a site's days that are over. What is then pending of its days, zeros of closed ones included.

        Running it twice, late, or after days of not running at all comes to the same. Counts that a shadowed
        source changed last wait until it is live again. `notes` are those of the site's days, if known.

        Each day that is not done is one read. Where nothing is pending, that is only today.
        """
        notes = self.notes([site], config) if notes is None else notes
        now = self._now()
        days = recent_days(config, site, now)
        over = _over(days, now)
        self._close([day for day in over if day.key not in notes], now)
        # A day's counts may be asked for twice: for the day itself, and for the day before.
        items_of = cache(self._headcount.items)
        counts_of = cache(lambda day: dict(counts_in(day, items_of(day))))
        pending: list[PendingFact] = []
        told: list[Update] = []
        # The latest day comes first: what it has reported makes the zero of the day before no news.
        for next_day, day in zip([None, *days], days, strict=False):
            note = notes.get(day.key)
            if note and note.done:
                continue
            if day in over:
                counts = self._at_end(day, items_of(day), deadline)
            else:
                counts = old_enough(counts_of(day), now)
            pending += _pending(day, counts, next_day, counts_of, config)
            if note and now >= note.at + DONE_AFTER_MS and all_reported(counts.values()):
                told.append(all_told(day, note))
        # Where a count has changed since, the next run looks at the days again.
        with suppress(Conflict):
            self._table.write(told)
        return pending

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def _close(self, days: Sequence[Day], now: int) -> None:
        """Note that these days are closed; from then on their badges count as late."""
        try:
            self._table.write([closing(day, now) for day in days])
        except Conflict:
            # Another run has closed one of them.
            for day in reversed(days):
                with suppress(Conflict):
                    self._table.write([closing(day, now)])

    def _at_end(self, day: Day, found: Found, deadline: Deadline) -> dict[str, Count]:
        """The counts as they stand once their day is over, written where that changes them."""
        counts = dict(counts_in(day, found))
        after = {place: count_at_end(count) for place, count in counts.items()}
        changed = {place: count for place, count in after.items() if count != counts[place]}
        updates = count_updates(day, changed, found)
        try:
            for start in range(0, len(updates), MAX_ITEMS):
                self._table.write(updates[start : start + MAX_ITEMS])
        except Conflict:
            # A badge came in between. What it made of a count is read again.
            after |= {place: self._end(day, place, deadline) for place in changed}
        return after

    def _end(self, day: Day, place: str, deadline: Deadline) -> Count:
        def attempt() -> Count:
            found = self._table.get([site_key(day.key), count_key(day.key, place), note_key(day.key)])
            count = count_in(day, place, found)
            ended = count_at_end(count)
            if ended != count:
                self._table.write(count_updates(day, {place: ended}, found))
            return ended

        return until_written(attempt, deadline)


def _over(days: Iterable[Day], now: int) -> list[Day]:
    return [day for day in days if now >= day.end + CLOSE_AFTER_MS]


def _pending(
    day: Day,
    counts: Counts,
    next_day: Day | None,
    counts_of: Callable[[Day], Counts],
    config: Config,
) -> list[PendingFact]:
    # The next day may be done: only a late badge makes it worth another read.
    late = next_day is not None and late_is_pending(counts.values())
    reported = reported_places(counts_of(next_day)) if next_day and late else frozenset[str]()
    return unqueued_facts(day, counts, reported, config.shadowed)
