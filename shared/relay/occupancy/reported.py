"""What Calven has been told: one note for each operating day, and one beside each sensor's last reading.

`day#<day>` / `reported` has for each place `place#<locationId>`: the newest version of its count that Calven
has accepted or that is safe in a queue, and how many people it said; and `queued#<locationId>`: the newest
that the schedule has put into a queue. It is an item by itself, written alone, so that noting what one badge
has reported never meets the transaction of the next badge. A reading's item has the same as `reported`,
`reported_as` and `swept`. Versions are only ever raised.
"""

import random
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from zlib import crc32

from relay.aws.table import Conflict, Item, Key, Table, Update
from relay.occupancy.days import KEPT_SECONDS
from relay.occupancy.rules import Fact

MAX_ITEMS = 100
"""So many items DynamoDB writes in one transaction."""
MOST_ALONE = 4
"""Up to so many notes are written one by one: each costs half, and no transaction is in the way of others."""
MOST_PLACES = 40
"""So many places are noted in one update: DynamoDB takes 4 kB of conditions."""
SHARDS = 16
"""DynamoDB writes a thousand units a second into a partition: positions and readings go into so many."""
TRIES = 6
"""So often a note is written again that another one was in the way of."""
LONGEST_PAUSE_SECONDS = 0.05
LONGEST_DAY_SECONDS = 3 * 24 * 3600
"""A note has to stay as long as the counts of its day, and knows only when one of these was reported."""

Mark = Literal["reported", "queued"]
OF_DAY: Mapping[Mark, str] = {"reported": "place#", "queued": "queued#"}
# `swept` is the former word for it, which stored items keep.
OF_READING: Mapping[Mark, str] = {"reported": "reported", "queued": "swept"}


@dataclass(frozen=True, slots=True)
class Told:
    """What Calven has been told of a place's count: as in `relay.occupancy.rules.Count`."""

    reported: int = 0
    reported_as: int | None = None
    queued: int = 0


class Reports:
    """Notes what has been reported. Raises `TableUnavailable`."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def mark_reported(self, facts: Sequence[Fact]) -> None:
        """Note that Calven has these facts, or will get them from the dead-letter queue."""
        self._raise("reported", facts)

    def mark_queued(self, facts: Sequence[Fact]) -> None:
        """Note that the schedule has put these facts into a queue: its next run need not."""
        self._raise("queued", facts)

    def _raise(self, mark: Mark, facts: Sequence[Fact]) -> None:
        """Raise a version in the note of each day, and beside each reading, that facts report."""
        newest = newest_of(facts).values()
        updates = [_note_of_reading(mark, fact) for fact in newest if fact.day is None]
        further: list[Update] = []
        for first, *others in _notes_of_days(mark, [fact for fact in newest if fact.day is not None]):
            updates.append(first)
            further += others
        size = 1 if len(updates) <= MOST_ALONE else MAX_ITEMS
        for start in range(0, len(updates), size):
            self._write(updates[start : start + size])
        # A transaction takes no two updates of one item.
        for update in further:
            self._write([update])

    def _write(self, updates: Sequence[Update]) -> None:
        """Write notes together; of one that is refused, what is still to be raised.

        Where others are in the way each time, it is left: what was told is told again, as the same event.
        """
        for _ in range(TRIES):
            try:
                self._table.write(updates)
            except Conflict as conflict:
                updates = _still_to_raise(updates, conflict)
                if not conflict.found:
                    time.sleep(random.uniform(0, LONGEST_PAUSE_SECONDS))  # noqa: S311 - guards nothing
            else:
                return


def _notes_of_days(mark: Mark, facts: Sequence[Fact]) -> Iterator[list[Update]]:
    """For each day that facts report, the updates of its note: more than one where it has many places."""
    days: defaultdict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        days[fact.day or ""].append(fact)
    for day, of_day in days.items():
        starts = range(0, len(of_day), MOST_PLACES)
        yield [_note_of_day(day, mark, of_day[start : start + MOST_PLACES]) for start in starts]


def _note_of_day(day: str, mark: Mark, facts: Sequence[Fact]) -> Update:
    """Raise the version of each place that some facts of one day report."""
    raised: dict[str, Any] = {}
    for fact in facts:
        said = [fact.version, fact.people] if mark == "reported" else fact.version
        raised[f"{OF_DAY[mark]}{fact.location_id}"] = said
    expires_at = max(fact.at for fact in facts) // 1000 + LONGEST_DAY_SECONDS + KEPT_SECONDS
    return Update(key=note_key(day), set={**raised, "expires_at": expires_at}, below=raised)


def _note_of_reading(mark: Mark, fact: Fact) -> Update:
    """Raise the version beside a reading."""
    raised = {OF_READING[mark]: fact.version}
    said = fact.occupied if fact.people is None else fact.people
    values = {**raised, "reported_as": said} if mark == "reported" else raised
    # Where the item has expired, an update would leave an item behind that has nothing else in it.
    return Update(key=fact_key(fact), set=values, below=raised, present=["version"])


def _still_to_raise(updates: Sequence[Update], conflict: Conflict) -> list[Update]:
    """The updates without what is noted already, or newer."""
    left: list[Update] = []
    for number, update in enumerate(updates):
        if number not in conflict.found:
            left.append(update)
            continue
        found = conflict.found[number]
        done = [name for name, value in update.below.items() if not _is_below(found.get(name), value)]
        below = {name: value for name, value in update.below.items() if name not in done}
        if below and all(name in found for name in update.present):
            values = {name: value for name, value in update.set.items() if name not in done}
            left.append(replace(update, set=values, below=below))
    return left


def _is_below(noted: Any, value: Any) -> bool:
    """Whether what is noted is older than what is to be noted."""
    if isinstance(value, list):
        return noted is None or bool(noted[0] < value[0])
    return noted is None or bool(noted < value)


def newest_of(facts: Sequence[Fact]) -> dict[Key, Fact]:
    """The newest that some facts report of each count or reading."""
    newest: dict[Key, Fact] = {}
    for fact in facts:
        key = fact_key(fact)
        if key not in newest or fact.version >= newest[key].version:
            newest[key] = fact
    return newest


def told_of(note: Item | None, place: str) -> Told:
    """What the note of a day says of a place (by `locationId`)."""
    note = note or {}
    reported, reported_as = note.get(f"{OF_DAY['reported']}{place}", (0, None))
    return Told(reported, reported_as, note.get(f"{OF_DAY['queued']}{place}", 0))


def fact_key(fact: Fact) -> Key:
    """Where the ledger has what a fact reports."""
    if fact.day is None:
        return reading_key(fact.location_id)
    return count_key(fact.day, fact.location_id)


def note_key(day: str) -> Key:
    """Where the note is of what Calven has been told of an operating day."""
    return f"day#{day}", "reported"


def count_key(day: str, place: str) -> Key:
    """Where the count of a place (by `locationId`) in an operating day is."""
    return f"day#{day}", f"count#{place}"


def reading_key(place: str, *, shadow: bool = False) -> Key:
    """Where the newest reading of a place (by `locationId`) is; of shadowed sensors in `shadow`."""
    return f"readings#{shard(place)}", f"{reading_prefix(shadow=shadow)}{place}"


def left_key(sensor: str, *, shadow: bool = False) -> Key:
    """Where the newest reading is of a sensor (`<source>|<sensor>`) that has left a place."""
    return f"readings#{shard(sensor)}", f"left#{'shadow#' if shadow else ''}{sensor}"


def reading_prefix(*, shadow: bool) -> str:
    """How the sort keys of readings begin."""
    return "shadow#" if shadow else "place#"


def shard(name: str) -> int:
    """Which of the partitions over which items of one kind are spread has this one."""
    # Not `hash`, which is another one in each process.
    return crc32(name.encode()) % SHARDS
