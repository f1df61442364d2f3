"""What Calven has been told: the note of it beside each count and each sensor's last reading.

`reported` is the newest version that Calven has accepted or that is safe in a queue, `swept` the newest that
the schedule has put into one. Both are written by themselves, and only ever raised.
"""

from collections.abc import Sequence
from zlib import crc32

from relay.aws.table import Conflict, Key, Table, Update
from relay.occupancy.rules import Fact

MAX_ITEMS = 100
SHARDS = 16
"""DynamoDB writes a thousand units a second into a partition: positions and readings go into so many."""


class Reports:
    """Notes what has been told. Raises `TableUnavailable`."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def reported(self, facts: Sequence[Fact]) -> None:
        """Note that Calven has these facts, or will get them from the dead-letter queue."""
        self._raise("reported", facts)

    def swept(self, facts: Sequence[Fact]) -> None:
        """Note that the sweep has put these facts into a queue: the next one need not."""
        self._raise("swept", facts)

    def _raise(self, name: str, facts: Sequence[Fact]) -> None:
        """Raise a version beside what each fact tells; where that has expired, nothing is left behind."""
        newest: dict[Key, int] = {}
        for fact in facts:
            key = fact_key(fact)
            newest[key] = max(newest.get(key, 0), fact.version)
        updates = [
            Update(key=key, set=told, below=told, present=["version"])
            for key, version in newest.items()
            for told in ({name: version},)
        ]
        for start in range(0, len(updates), MAX_ITEMS):
            some = updates[start : start + MAX_ITEMS]
            try:
                self._table.write(some)
            except Conflict:
                for update in some if len(some) > 1 else ():
                    self._raise_one(update)

    def _raise_one(self, update: Update) -> None:
        try:
            self._table.write([update])
        except Conflict:
            return


def fact_key(fact: Fact) -> Key:
    """Where the ledger has what a fact tells."""
    if fact.day is None:
        return reading_key(fact.location_id)
    return count_key(fact.day, fact.location_id)


def count_key(day: str, place: str) -> Key:
    """Where the count of a place (by `locationId`) in an operating day is."""
    return f"day#{day}", f"count#{place}"


def reading_key(place: str) -> Key:
    """Where the newest reading of a place (by `locationId`) is."""
    return f"readings#{shard(place)}", f"place#{place}"


def shard(name: str) -> int:
    """Which of the partitions over which items of one kind are spread has this one."""
    return crc32(name.encode()) % SHARDS
