"""Has what is not sent to Calven after all be pending again, whatever was noted of it."""

from collections.abc import Sequence
from functools import partial

from relay.aws.conflicts import until_written
from relay.aws.table import Key, Table, Update
from relay.deadline import Deadline
from relay.occupancy.closed import closed_key, closed_of, day_guard
from relay.occupancy.counts import next_version, site_key
from relay.occupancy.reported import newest_of
from relay.occupancy.rules import Fact


class Unsent:
    """Notes what is not sent. Raises `TableUnavailable` and `Contended`."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def mark(self, facts: Sequence[Fact], deadline: Deadline) -> None:
        """Have what some facts report be pending: it is a new version, unless there is one already."""
        for key, fact in newest_of(facts).items():
            until_written(partial(self._mark, key, fact), deadline)

    def _mark(self, key: Key, fact: Fact) -> None:
        if fact.day is None:
            self._mark_reading(key, fact.version)
        else:
            self._mark_count(key, fact, fact.day)

    def _mark_reading(self, key: Key, version: int) -> None:
        item = self._table.get([key]).get(key)
        if item is not None and item["version"] == version:
            self._table.write([Update(key=key, set={"version": version + 1}, expect={"version": version})])

    def _mark_count(self, key: Key, fact: Fact, day: str) -> None:
        found = self._table.get([key, site_key(day), closed_key(day)])
        raised = next_version(day, fact.location_id, fact.version, found)
        if raised is None:
            return  # a newer version is pending, or nothing is there any more
        closed = closed_of(found.get(closed_key(day)))
        self._table.write([raised, day_guard(day, closed.at if closed else None)])
