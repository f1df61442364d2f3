"""Has what is not sent to Calven after all be pending again, whatever was noted of it."""

from collections.abc import Sequence
from functools import partial

from relay.aws.conflicts import until_written
from relay.aws.table import Key, Table, Update
from relay.deadline import Deadline
from relay.occupancy.closed import closed_key, closed_of, day_guard
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
        notes = [] if fact.day is None else [closed_key(fact.day)]
        found = self._table.get([key, *notes])
        if key not in found or found[key]["version"] != fact.version:
            return  # a newer version is pending, or nothing is there any more
        updates = [Update(key=key, set={"version": fact.version + 1}, expect={"version": fact.version})]
        if fact.day is not None:
            closed = closed_of(found.get(closed_key(fact.day)))
            updates.append(day_guard(fact.day, closed.at if closed else None))
        self._table.write(updates)
