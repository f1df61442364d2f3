"""What Calven has been told: the note of it beside each count and each sensor's last reading.

The attribute `reported` is the newest version that Calven has accepted or that is safe in a queue, and
`reported_as` the count that it said, or whether there was anybody. `swept` is the newest that the schedule
has put into a queue. They are written by themselves, and the versions only ever raised.
"""

from collections.abc import Sequence
from zlib import crc32

from relay.aws.table import Conflict, Key, Table, Update
from relay.occupancy.rules import Fact

MAX_ITEMS = 100
"""So many items DynamoDB writes in one transaction."""
SHARDS = 16
"""DynamoDB writes a thousand units a second into a partition: positions and readings go into so many."""


class Reports:
    """Notes what has been reported. Raises `TableUnavailable`."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def mark_reported(self, facts: Sequence[Fact]) -> None:
        """Note that Calven has these facts, or will get them from the dead-letter queue."""
        self._raise("reported", facts)

    def mark_queued(self, facts: Sequence[Fact]) -> None:
        """Note that the schedule has put these facts into a queue: its next run need not."""
        self._raise("swept", facts)

    def mark_unsent(self, facts: Sequence[Fact]) -> None:
        """Note that these facts are not sent, whatever was noted before: what they report is pending again.

        It is a new version then, unless there is one already.
        """
        for key, fact in _newest(facts).items():
            after = {"version": fact.version + 1}
            self._write([Update(key=key, set=after, expect={"version": fact.version})])

    def _raise(self, attribute: str, facts: Sequence[Fact]) -> None:
        """Raise a version beside what each fact reports."""
        updates: list[Update] = []
        for key, fact in _newest(facts).items():
            raised = {attribute: fact.version}
            said = {"reported_as": _said(fact)} if attribute == "reported" else {}
            # Where the item has expired, an update would leave an item behind that has nothing else in it.
            updates.append(Update(key=key, set={**raised, **said}, below=raised, present=["version"]))
        for start in range(0, len(updates), MAX_ITEMS):
            self._write(updates[start : start + MAX_ITEMS])

    def _write(self, updates: Sequence[Update]) -> None:
        try:
            self._table.write(updates)
        except Conflict:
            # One that is raised already, or has expired, refuses the whole transaction: write one by one.
            if len(updates) > 1:
                for update in updates:
                    self._write([update])


def _newest(facts: Sequence[Fact]) -> dict[Key, Fact]:
    """The newest that some facts report of each count or reading."""
    newest: dict[Key, Fact] = {}
    for fact in facts:
        key = fact_key(fact)
        if key not in newest or fact.version >= newest[key].version:
            newest[key] = fact
    return newest


def _said(fact: Fact) -> int | bool | None:
    return fact.occupied if fact.people is None else fact.people


def fact_key(fact: Fact) -> Key:
    """Where the ledger has what a fact reports."""
    if fact.day is None:
        return reading_key(fact.location_id)
    return count_key(fact.day, fact.location_id)


def count_key(day: str, place: str) -> Key:
    """Where the count of a place (by `locationId`) in an operating day is."""
    return f"day#{day}", f"count#{place}"


def reading_key(place: str, *, shadow: bool = False) -> Key:
    """Where the newest reading of a place (by `locationId`) is; of shadowed sensors in `shadow`."""
    return f"readings#{shard(place)}", f"{reading_prefix(shadow=shadow)}{place}"


def reading_prefix(*, shadow: bool) -> str:
    """How the sort keys of readings begin."""
    return "shadow#" if shadow else "place#"


def shard(name: str) -> int:
    """Which of the partitions over which items of one kind are spread has this one."""
    return crc32(name.encode()) % SHARDS
